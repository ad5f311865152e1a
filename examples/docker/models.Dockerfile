# An image that pulls models: for the init container and for KServe.
FROM python:3.12
# the Git URL of dvc-studio-models
RUN pip install git+https://git.example.com/dvc-studio-models
COPY kserve.py /kserve.py
ENTRYPOINT ["python", "/kserve.py"]
