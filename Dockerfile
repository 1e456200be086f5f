# docker build -t phasediag .
# docker run --rm -v "$PWD:/work" phasediag quickstart
# For GPUs: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130, and run with --gpus all. Apptainer takes the
# image as it is: apptainer build phasediag.sif docker-daemon://phasediag:latest
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
# The compiler turns the training step into a C++ program; without one training goes through torch.compile alone.
# wget is what KubeRay asks a pod by whether its Ray is well.
RUN apt-get update && apt-get install -y --no-install-recommends g++ git wget && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /constraints.txt --extra-index-url ${TORCH_INDEX} torch \
    && pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheels/*.whl)[cluster]"
WORKDIR /work
ENTRYPOINT ["phasediag"]
CMD ["--help"]
