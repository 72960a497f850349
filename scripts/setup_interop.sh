#!/bin/bash
# Usage: setup_interop.sh FOLDER   an environment with openpi-client, which wants NumPy 1
set -euo pipefail
folder=$1
[ -e "$folder/.set-up" ] && exit 0
python3 -m venv "$folder"
# It imports typing_extensions without asking for it.
"$folder/bin/python" -m pip --disable-pip-version-check install --quiet \
    openpi-client==0.1.2 'numpy<2' typing_extensions
touch "$folder/.set-up"
