# The program alone, on nothing. Needs only Docker: `docker build -t pgsignet .`
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/pgsignet ./cmd/pgsignet \
 && mkdir -p /out/empty

FROM scratch
COPY --from=build /out/pgsignet /pgsignet
# Folders that volumes are mounted on: a new volume takes their owner.
COPY --from=build --chown=65534:65534 /out/empty /etc/pgsignet/pki
COPY --from=build --chown=65534:65534 /out/empty /var/lib/pgsignet
USER 65534:65534
EXPOSE 6432 9432
ENTRYPOINT ["/pgsignet"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=5s CMD ["/pgsignet", "healthcheck"]
