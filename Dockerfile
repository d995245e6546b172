# The service alone: no torch, no trainer's libraries.
#   docker build --target cpu -t similar-streamer .
#   docker build --target gpu -t similar-streamer:gpu .

FROM python:3.11-slim AS source
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml README.md LICENSE ./
COPY model_export model_export
COPY service service
COPY training training

FROM source AS build-cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/python -m pip install ".[service,cpu,embedded,text-tower,images,audio]"

# The CUDA and cuDNN libraries come with the wheels; the host brings the driver.
FROM source AS build-gpu
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/python -m pip install ".[service,gpu,embedded,text-tower,images,audio]"

FROM python:3.11-slim AS runtime
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
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['STREAMER_PORT'] + '/readyz', timeout=2)"]
CMD ["python", "-m", "service", "serve"]

FROM runtime AS gpu
ENV STREAMER_DEVICE=gpu \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/venv /opt/venv

FROM runtime AS cpu
COPY --from=build-cpu /opt/venv /opt/venv
