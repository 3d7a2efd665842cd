# midframe with PyTorch for the CPU alone: docker run --rm -v "$PWD:/work" midframe video holiday.mp4
FROM python:3.12-slim AS build
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/midframe \
    && /opt/midframe/bin/pip install --no-cache-dir -c constraints.txt \
       --extra-index-url https://download.pytorch.org/whl/cpu . \
    && /opt/midframe/bin/pip uninstall -y pip \
    && rm -rf /opt/midframe/lib/python3.12/site-packages/torch/include \
       /opt/midframe/lib/python3.12/site-packages/torch/test

FROM python:3.12-slim
COPY --from=build /opt/midframe /opt/midframe
# any user may run it, as with `docker run --user`: what is compiled or drawn is cached in /tmp
ENV PATH=/opt/midframe/bin:$PATH HOME=/tmp
USER 1000
WORKDIR /work
ENTRYPOINT ["midframe"]
CMD ["--help"]
