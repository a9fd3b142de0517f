# The dashboard in a container. BASE may be any image with Python 3.11 or newer, for example one with CUDA:
#   docker build -t molsway [--build-arg BASE=IMAGE] [--build-arg TORCH_INDEX=ADDRESS] .
#   docker run -p 127.0.0.1:8501:8501 -v molsway-cache:/cache [--gpus all] molsway
# By default torch comes with its CUDA libraries and uses them where the host lends a GPU. TORCH_INDEX may be the address of
# PyTorch's index of CPU builds, which make the image some gigabytes smaller.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

ARG TORCH_INDEX=""

# libraries that RDKit's drawing code loads
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1=2.* libxrender1=1:* libxext6=2:* \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /molsway
COPY requirements.txt ./
RUN grep '^torch==' requirements.txt > torch.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} -r torch.txt \
    && pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home --uid 1000 --non-unique molsway && install -d -o molsway /cache
USER 1000
WORKDIR /home/molsway
ENV MOLSWAY_CACHE=/cache STREAMLIT_SERVER_ADDRESS=0.0.0.0
VOLUME /cache
EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health')"]
ENTRYPOINT ["molsway"]
CMD ["app"]
