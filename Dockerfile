# One image for workers, dashboard and shell: `docker build -t taskq .`, then `docker run taskq worker --help`.
ARG PYTHON_VERSION=3.13
FROM python:${PYTHON_VERSION}-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# The dependencies first, read from the one place that lists them: their layer is built again only when
# pyproject.toml changes. (pip can't install a project's dependencies without the project.)
WORKDIR /src
COPY pyproject.toml ./
RUN --mount=type=cache,target=/var/cache/pip \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *p['optional-dependencies']['shell'], *p['optional-dependencies']['dashboard'], *p['optional-dependencies']['reload'], sep='\n')" > requirements.txt \
 && pip install -r requirements.txt

COPY README.md LICENSE ./
COPY taskq taskq
COPY workers workers
RUN --mount=type=cache,target=/var/cache/pip \
    pip install ".[shell,dashboard,reload]"

# What your own modules need, e.g. --build-arg PACKAGES="numpy pandas"
ARG PACKAGES=""
RUN --mount=type=cache,target=/var/cache/pip \
    [ -z "$PACKAGES" ] || pip install $PACKAGES

# A worker runs whatever it finds in Redis; it need not be root for that. The home is for IPython's history.
RUN useradd --create-home --uid 1000 taskq
USER taskq

# Your own modules are mounted here: jobs, and the shell, look for them in the folder in which they are started.
WORKDIR /app

ENTRYPOINT ["taskq"]
CMD ["worker"]
