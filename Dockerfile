# The service alone: no torch, no trainer's libraries.
#   docker build --target cpu -t similar-streamer .
#   docker build --target gpu -t similar-streamer:gpu .

# `make image-lock` pins the digest here, `make lock` the packages in image/.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS venv
WORKDIR /src
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1

FROM venv AS wheel
COPY image/build.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install -r build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY model_export model_export
COPY service service
COPY training training
RUN PIP_REQUIRE_HASHES=0 pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -c "import glob, zipfile; wheel = zipfile.ZipFile(glob.glob('/wheels/*.whl')[0]); \
built = 'service/console/built/'; why = built + 'missing.txt'; \
built + 'index.html' in wheel.namelist() or exit('the wheel has no console: ' + wheel.read(why).decode())"

FROM venv AS build-cpu
COPY image/cpu.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install -r cpu.txt
RUN --mount=from=wheel,source=/wheels,target=/wheels PIP_REQUIRE_HASHES=0 pip install --no-deps /wheels/*.whl

# The CUDA and cuDNN libraries come with the wheels; the host brings the driver (R580 or newer).
FROM venv AS build-gpu
COPY image/gpu.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install -r gpu.txt
RUN --mount=from=wheel,source=/wheels,target=/wheels PIP_REQUIRE_HASHES=0 pip install --no-deps /wheels/*.whl

FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin streamer \
    && install --directory --owner streamer --mode 0700 /data
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STREAMER_HOST=0.0.0.0 \
    STREAMER_PORT=8000 \
    STREAMER_BUNDLE=/bundle \
    STREAMER_DATA_DIR=/data
WORKDIR /data
USER streamer
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['STREAMER_PORT'] + '/livez', timeout=2)"]
CMD ["python", "-m", "service", "serve"]

FROM runtime AS gpu
ENV STREAMER_DEVICE=gpu \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/venv /opt/venv

FROM runtime AS cpu
COPY --from=build-cpu /opt/venv /opt/venv
