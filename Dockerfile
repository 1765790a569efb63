# flowbound as a container: the program, and nothing else that runs.
FROM rust:1.95-bookworm AS build
WORKDIR /flowbound
COPY . .
RUN cargo build --locked --release

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /flowbound/target/release/flowbound /usr/local/bin/flowbound
USER nobody
ENTRYPOINT ["flowbound"]
