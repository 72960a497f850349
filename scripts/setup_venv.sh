#!/bin/bash
# Make the virtual environment VENV with everything pinned: setup_venv.sh VENV ROS_DISTRO
# Safe to repeat: what is installed already stays.
set -euo pipefail
venv=$1
distro=$2
torch=$(grep '^torch==' requirements.txt)
# Bytes are compiled on first import: compiling all of torch takes longer than using it.
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --no-compile)
cpu_wheels=https://download.pytorch.org/whl/cpu

say() { echo "set-up: $*"; }

make_venv() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    local python
    python=$(scripts/find_python.sh)
    say "virtual environment $venv ($("$python" --version))"
    "$python" -m venv --clear "$venv" && return
    echo "Making a virtual environment failed. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
}

# The CPU build is a tenth of the CUDA build's size. First as configured here, then from PyTorch's
# own index without waiting for a network that is not there, else the plain one with the rest.
install_cpu_torch() {
    say "torch (CPU build, no NVIDIA GPU here)"
    "${pip[@]}" --no-deps "$torch+cpu" >/dev/null 2>&1 && return
    "${pip[@]}" --no-deps --timeout 5 --retries 0 --extra-index-url "$cpu_wheels" "$torch+cpu" \
        >/dev/null 2>&1 && return
    say "no CPU build of torch could be had: taking the default one, some GB larger"
}

install_rest() {
    say "ROS 2 $distro wheels, MuJoCo and the rest of requirements.txt (a minute or two, 2 GB)"
    "${pip[@]}" -r requirements.txt -r "requirements-ros-$distro.txt"
}

make_venv
nvidia-smi >/dev/null 2>&1 || install_cpu_torch
install_rest
say "done in $SECONDS s"
