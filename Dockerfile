# The default run in a container, from the same pins:
#   docker build -t effdet-bench . && docker run --rm -v "$PWD/results:/bench/results" effdet-bench
# Small, without CUDA: docker build --build-arg TORCH_INDEX=<index of CPU builds of torch> …
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /bench
COPY . .
ARG TORCH_INDEX=
RUN PIP_NO_CACHE_DIR=1 make TORCH_INDEX="$TORCH_INDEX" .venv/.installed
ENTRYPOINT ["make"]
CMD ["report"]
