# docker build -t bmtool . && docker run --rm -p 8000:8000 -e BMTOOL_API_KEY=... bmtool
# Two stages: pip and its caches stay in the first. What ships has onnxruntime, no PyTorch, and runs as a user without rights.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY .ci/install-server .ci/install-server
COPY bmtool bmtool
COPY configs configs
COPY data data
RUN .ci/install-server /opt/bmtool

FROM python:3.11-slim
COPY --from=build /opt/bmtool /opt/bmtool
RUN useradd --system --uid 10001 --no-create-home bmtool
USER 10001
ENV PATH=/opt/bmtool/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["bmtool", "serve"]
CMD ["default", "--host", "0.0.0.0"]
