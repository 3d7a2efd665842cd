"""Reading and writing TFRecord files without TensorFlow.

A record is: length, checksum, payload, checksum; the payload is a tf.train.Example. The datasets of
SepConv's TensorFlow implementation have the features img1, img2, img3 (JPEG), height and width.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from midframe.errors import DatasetError

IMAGES = ("img1", "img2", "img3")
"""Features that hold the first, the middle and the last frame."""
MASK = 0xA282EAD8
"""Constant of the masked CRC-32C that TFRecord uses."""

_KINDS = {"BytesList": "TYPE_BYTES", "FloatList": "TYPE_FLOAT", "Int64List": "TYPE_INT64"}


def read_examples(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the features of each record of a file: lists of bytes, floats or ints by name.

    Raises:
        DatasetError: a record is truncated, has a wrong checksum, or is not an Example; the
            message gives its number.
    """
    with path.open("rb") as file:
        for number, payload in enumerate(_records(file, path)):
            try:
                features = _example_class().FromString(payload).features.feature
            except DecodeError as error:
                raise _damage_error(path, number, "is not a tf.train.Example") from error
            yield {
                name: list(getattr(each, each.WhichOneof("kind")).value)
                for name, each in features.items()
            }


def write_examples(path: Path, examples: Iterable[dict[str, Any]]) -> int:
    """Write records from features, each a list of bytes, floats or ints; return their number.

    The file is written under a temporary name and renamed when it is complete.
    """
    unfinished = path.with_name(path.name + ".part")
    count = 0
    try:
        with unfinished.open("wb") as file:
            for example in examples:
                payload = _build_message(example).SerializeToString(deterministic=True)
                length = struct.pack("<Q", len(payload))
                file.write(length + _checksum(length) + payload + _checksum(payload))
                count += 1
        unfinished.replace(path)
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}): free disk space and export again"
        raise DatasetError(message) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _records(file: BinaryIO, path: Path) -> Iterator[bytes]:
    number = 0
    while header := file.read(12):
        if len(header) < 12:
            raise _damage_error(path, number, "is truncated")
        if _checksum(header[:8]) != header[8:]:
            raise _damage_error(path, number, "has a length with a wrong checksum")
        (length,) = struct.unpack("<Q", header[:8])
        payload = file.read(length)
        checksum = file.read(4)
        if len(payload) < length or len(checksum) < 4:
            raise _damage_error(path, number, "is truncated")
        if _checksum(payload) != checksum:
            raise _damage_error(path, number, "has a wrong checksum")
        yield payload
        number += 1


def _damage_error(path: Path, number: int, fault: str) -> DatasetError:
    return DatasetError(f"record {number} of {path} {fault}: download or export the file again")


def _checksum(content: bytes) -> bytes:
    value = google_crc32c.value(content)
    rotated = (value >> 15 | value << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + MASK) & 0xFFFFFFFF)


def _build_message(features: dict[str, Any]) -> Any:
    message = _example_class()()
    for name, values in features.items():
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0])]
        getattr(message.features.feature[name], kind).value.extend(values)
    return message


@cache
def _example_class() -> Any:
    """Build the message class tf.train.Example, as example.proto and feature.proto define it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="example.proto", package="tensorflow", syntax="proto3"
    )
    types = descriptor_pb2.FieldDescriptorProto
    for name, kind in _KINDS.items():
        message = file.message_type.add(name=name)
        message.field.add(
            name="value", number=1, type=getattr(types, kind), label=types.LABEL_REPEATED
        )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (field, kind) in enumerate(
        zip(("bytes_list", "float_list", "int64_list"), _KINDS, strict=True), 1
    ):
        feature.field.add(
            name=field, number=number, type=types.TYPE_MESSAGE, label=types.LABEL_OPTIONAL,
            oneof_index=0, type_name=f".tensorflow.{kind}",
        )  # fmt: skip
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=types.TYPE_STRING, label=types.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=types.TYPE_MESSAGE,
        label=types.LABEL_OPTIONAL,
        type_name=".tensorflow.Feature",
    )
    features.field.add(
        name="feature", number=1, type=types.TYPE_MESSAGE, label=types.LABEL_REPEATED,
        type_name=".tensorflow.Features.FeatureEntry",
    )  # fmt: skip
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features",
        number=1,
        type=types.TYPE_MESSAGE,
        label=types.LABEL_OPTIONAL,
        type_name=".tensorflow.Features",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
