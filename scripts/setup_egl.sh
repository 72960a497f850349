#!/bin/bash
# See that MuJoCo can render without a screen, and install Mesa's EGL where it cannot: setup_egl.sh PYTHON
set -euo pipefail
python=$1
packages=(libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0)
render='import mujoco; context = mujoco.GLContext(64, 64); context.make_current(); context.free()'

renders() { MUJOCO_GL=egl "$python" -c "$render" >/dev/null 2>&1; }

stop() {
    echo "Rendering without a screen (EGL) does not work here, and $1. Run this, then make again:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y ${packages[*]}" >&2
    exit 1
}

if renders; then exit 0; fi
command -v apt-get >/dev/null || stop "there is no apt-get (the Debian and Ubuntu names are below)"
if [[ $(id -u) -eq 0 ]]; then
    root=()
elif sudo -n true 2>/dev/null; then
    root=(sudo -n)
else
    stop "installing it needs root"
fi
echo "set-up: EGL libraries (${packages[*]})"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
renders && exit 0
echo "MuJoCo still cannot render with EGL:" >&2
MUJOCO_GL=egl "$python" -c "$render"
