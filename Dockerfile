# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
#
#   docker build -t edgeinfer .
#   docker run --rm -v "$PWD:/work" edgeinfer compile net.keras --target rtl
#
# With training:  docker build --build-arg EXTRAS=rtl,tables,train -t edgeinfer .
FROM python:3.11-slim-bookworm
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends g++ make iverilog \
 && rm -rf /var/lib/apt/lists/*
ARG EXTRAS=rtl,tables
COPY . /opt/edgeinfer
RUN pip install --no-cache-dir -c /opt/edgeinfer/constraints.txt "/opt/edgeinfer[${EXTRAS}]" \
 && rm -rf /opt/edgeinfer
WORKDIR /work
ENTRYPOINT ["edgeinfer"]
CMD ["--help"]
