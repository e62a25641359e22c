# The studio without TensorFlow, with the committee `lite` ready to answer; see docs/container.md.

FROM python:3.12-slim-bookworm AS build
# "serve" serves lite and bundles; "run" also converts other networks and trains.
ARG REQUIREMENTS=serve
WORKDIR /src
COPY requirements requirements
COPY container container
RUN container/steps dependencies /opt/triptych
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN container/steps studio /opt/triptych && container/steps networks /opt/triptych

FROM python:3.12-slim-bookworm
COPY --from=build /opt/triptych /opt/triptych
RUN useradd --system --uid 10001 --no-create-home triptych && install -d -o triptych /data
# Only the volume and /tmp are ever written.
ENV PATH=/opt/triptych/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TRIPTYCH_HOME=/data \
    TRIPTYCH_HOST=0.0.0.0 \
    KERAS_HOME=/data/keras
USER triptych
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["/opt/triptych/bin/python", "/opt/triptych/healthy.py"]
ENTRYPOINT ["/opt/triptych/start"]
CMD ["serve"]
