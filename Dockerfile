# The router in a container. `docs/container.md` tells how it is built and run, and what it needs.
#
#   BASE             any image with Python >= 3.11 and its venv module; both stages start from it. What it lacks of a
#                    compiler, Python's headers and strip, the first stage installs from Debian
#   VROUTER_CYTHON   skip: nothing is compiled, and neither compiler nor headers are needed
ARG BASE=docker.io/library/python:3.11-slim

# ------------------------------------------------------------------------------------- wheels, then an environment of them
FROM ${BASE} AS build
ARG VROUTER_CYTHON=require
ENV VROUTER_CYTHON=${VROUTER_CYTHON} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY vrouter ./vrouter
# The second environment has no pip: what runs needs none. Without debug symbols the extensions are a third of their size.
# Layers round times to seconds: byte code that is checked by time would be stale at random, and a start three times as long.
# Neither goes along: other programs that the dependencies install, and a driver for Windows with a licence of its own.
RUN set -eu; \
    missing=; \
    if [ "$VROUTER_CYTHON" != skip ]; then \
        command -v cc >/dev/null || missing="gcc libc6-dev"; \
        [ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || missing="$missing python3-dev"; \
    fi; \
    command -v strip >/dev/null || missing="$missing binutils"; \
    [ -z "$missing" ] || { apt-get update -qq; apt-get install -qq -y --no-install-recommends $missing >/dev/null; }; \
    python3 -m venv /pip; \
    /pip/bin/pip wheel --quiet --wheel-dir /wheels .; \
    python3 -m venv --without-pip /opt/vrouter; \
    /pip/bin/pip --python /opt/vrouter/bin/python install --quiet --no-compile --no-index --find-links /wheels vrouter; \
    python3 -m compileall -q --invalidation-mode unchecked-hash /opt/vrouter/lib; \
    find /opt/vrouter -name '*.so' -exec strip --strip-unneeded {} +; \
    find /opt/vrouter/bin ! -type d ! -name 'python*' ! -name vrouter -delete; \
    rm -rf /opt/vrouter/include /opt/vrouter/lib/python3*/site-packages/pytun_pmd3/wintun; \
    install -d -m 1777 /empty/run/vrouter; \
    install -d /empty/etc/vrouter

# ------------------------------------------------------------------------------------------------------------ the router
FROM ${BASE}
LABEL org.opencontainers.image.title="vrouter" \
      org.opencontainers.image.description="A userspace virtual router with network namespaces, on real TAP devices" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/vrouter /opt/vrouter
# /run/vrouter holds the admin socket (mode 0600); any user that the container is given may make it there.
COPY --from=build /empty/ /
ENV PATH=/opt/vrouter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Enough for TAPs that were made for this user. To make TAPs: --user 0 --cap-drop ALL --cap-add NET_ADMIN --device /dev/net/tun
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["vrouter", "health"]
ENTRYPOINT ["vrouter"]
CMD ["run", "/etc/vrouter/vrouter.toml"]
