# twelve serve in a container: docs/deploy.md
# may name another base image, such as a mirror's; the stage "usual" is then not pulled
ARG BASE=usual
# Dependabot updates this line. It reads no ARG.
FROM python:3.12-slim AS usual
FROM $BASE
WORKDIR /twelve
# read by pip; without it, pip uses the base image's pip.conf or PyPI
ARG PIP_INDEX_URL
COPY constraints.txt ./
# pip before 25.3 has no --build-constraint.
RUN pip install --no-cache-dir -c constraints.txt --upgrade pip
# the CPU build; PyPI's has CUDA
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --no-deps -c constraints.txt torch torchvision \
        --index-url "$TORCH_INDEX"
# The dependencies, in a layer that changes of the code keep: what is installed here has no code yet.
ARG EXTRAS=web
COPY pyproject.toml ./
COPY src/twelve/version.py src/twelve/
RUN touch README.md LICENSE && pip install --no-cache-dir -c constraints.txt --build-constraint constraints.txt \
        ".[$EXTRAS]"
COPY README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --no-deps --build-constraint constraints.txt . \
    && useradd --uid 1000 --create-home twelve
# a number, so that Kubernetes knows that it is not root
USER 1000
# Trusts X-Forwarded-Proto of every client, since the proxy's address is not known here. The header only decides
# whether URLs in /docs and in remedies begin with https.
ENV FORWARDED_ALLOW_IPS=*
# a large model is loaded for minutes before the port opens
HEALTHCHECK --start-period=10m \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8012/health', timeout=5)"]
ENTRYPOINT ["twelve", "serve", "/model", "--host", "0.0.0.0", "--port", "8012"]
