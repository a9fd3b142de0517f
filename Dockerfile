# The dashboard in a container. CPU:   docker build -t molsway .
# With CUDA (the host needs the NVIDIA container toolkit):
#   docker build -t molsway --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
# Then: docker run -p 127.0.0.1:8501:8501 -v molsway-cache:/cache [--gpus all] molsway
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# which build of torch: the wheels for CUDA bring the CUDA libraries along, so the base stays the same
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# what RDKit's drawings load
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1=2.* libxrender1=1:* libxext6=2:* \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /molsway
COPY requirements.txt ./
RUN pip install --no-cache-dir --index-url "${TORCH_INDEX}" "$(grep '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home --uid 1000 molsway && install -d -o molsway /cache
USER molsway
WORKDIR /home/molsway
ENV MOLSWAY_CACHE=/cache STREAMLIT_SERVER_ADDRESS=0.0.0.0
VOLUME /cache
EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health')"]
ENTRYPOINT ["molsway"]
CMD ["app"]
