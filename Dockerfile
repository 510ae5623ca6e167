# The hub in a container: built by the same steps as on a machine (./dev build), run as a user without
# rights, with one volume for everything it keeps.
#
#     docker build -t freehub .
#     docker run -d --name hub -p 8883:8883 -v freehub:/var/lib/freehub freehub
#     docker exec hub freehub bikes add bike-1 --data /var/lib/freehub
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN ./dev build release \
    && cmake --install build/release --prefix /usr --strip \
    && rm -rf /var/lib/apt/lists/*

FROM debian:12-slim
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        libuv1 libssl3 liblmdb0 libprotobuf-c1 libyaml-0-2 libjansson4 libsmartcols1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 1883 freehub \
    && useradd --system --uid 1883 --gid 1883 --home-dir /var/lib/freehub --no-create-home \
        --shell /usr/sbin/nologin freehub \
    && install -d -m 0700 -o freehub -g freehub /var/lib/freehub
COPY --from=build /usr/bin/freehubd /usr/bin/freehub /usr/bin/
USER 1883:1883
VOLUME /var/lib/freehub
EXPOSE 8883
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["freehub", "status", "--data", "/var/lib/freehub"]
ENTRYPOINT ["freehubd"]
CMD ["--data", "/var/lib/freehub"]
