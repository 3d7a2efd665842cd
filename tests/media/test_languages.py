import pytest

from midframe.media.languages import TWO_LETTERS, same_language, three_letters


@pytest.mark.parametrize(
    ("given", "code"),
    [("en", "eng"), ("pt-BR", "por"), ("zh_Hans", "zho"), ("DE", "deu"), ("ger", "ger"),
     ("yue-Hant", "yue"), ("english", "english"), ("", "")],
)  # fmt: skip
def test_language_codes_have_three_letters(given: str, code: str) -> None:
    assert three_letters(given) == code


def test_each_two_letter_code_has_its_own_three_letter_code() -> None:
    assert len(TWO_LETTERS) == len(set(TWO_LETTERS.values())) == 183
    assert {(len(two), len(three)) for two, three in TWO_LETTERS.items()} == {(2, 3)}


def test_codes_of_the_same_language_are_equal_but_regions_are_not() -> None:
    assert same_language("de", "ger")
    assert same_language("und", None)
    assert not same_language("pt-BR", "por")
    assert not same_language("en", "fr")
