#!/bin/bash
# Usage: setup_lerobot.sh FOLDER   an environment with LeRobot and what `serve` needs beside it
set -euo pipefail
folder=$1
[ "$folder/.set-up" -nt "$0" ] && exit 0
python3 -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --no-compile)
# LeRobot 0.4.4 takes torch below 2.11, and torchvision, whose wheel must be of the same build. The
# CPU build is on PyTorch's own index alone; the one of PyPI brings 3 GB of CUDA along.
torch=(torch==2.10.0 torchvision==0.25.0)
cpu_wheels=https://download.pytorch.org/whl/cpu
if ! "${pip[@]}" --timeout 5 --retries 0 --index-url "$cpu_wheels" "${torch[@]/%/+cpu}" >/dev/null 2>&1; then
    echo "set-up: no CPU build of torch could be had: taking the default one, some GB larger"
    "${pip[@]}" "${torch[@]}"
fi
# 0.4 is the last series for Python 3.11; 0.5 and later ask for 3.12.
"${pip[@]}" 'lerobot[smolvla]==0.4.4' 'websockets>=15' msgpack pyyaml jsonschema xacro
touch "$folder/.set-up"
