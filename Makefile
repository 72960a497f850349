# Every target sets up what it needs: a virtual environment with ROS 2 as wheels, torch, MuJoCo, EGL.
# With a sourced ROS 2 install use colcon instead (see `make help`).

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ROS_DISTRO_WHEELS ?= jazzy
# One ROS distro per environment: their wheels share names.
VENV := $(CURDIR)/.venv$(patsubst %,-%,$(filter-out jazzy,$(ROS_DISTRO_WHEELS)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
INSTALLED := $(VENV)/.installed
PINNED := requirements.txt constraints.txt requirements-ros-$(ROS_DISTRO_WHEELS).txt
PACKAGED := setup.py setup.cfg package.xml $(wildcard resource/* launch/* config/* config/*/* \
	description/* description/*/* checkpoints/*/*) vla_ros/robot_schema.json \
	vla_ros/learn/report.html
CHECKED := vla_ros test launch setup.py

DATA ?= data/tabletop
OUT ?= runs/tabletop
ARGS ?=
TEST_ARGS ?=
SOAK_MINUTES ?= 10

export VIRTUAL_ENV := $(VENV)
export PATH := $(BIN):$(PATH)
export AMENT_PREFIX_PATH := $(VENV)
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
# Default Fast DDS loses 640x480 images between processes; this profile enlarges its shared memory.
# Fast DDS 2, of Jazzy and older, knows the second name alone, Fast DDS 3 the first.
export FASTDDS_DEFAULT_PROFILES_FILE := $(CURDIR)/config/fastdds_shm.xml
export FASTRTPS_DEFAULT_PROFILES_FILE := $(FASTDDS_DEFAULT_PROFILES_FILE)
export MUJOCO_GL := egl
export LP_NUM_THREADS := 1
export RMW_IMPLEMENTATION := rmw_fastrtps_cpp
# Nothing of another environment may leak in. The last one says that the wheels' start-up hook has
# run and set LD_LIBRARY_PATH, which would be another environment's.
unexport PYTHONPATH PYTHONHOME _ROS_WHEELS_BOOTSTRAP_COMPLETE
ifdef IGNORE_ROS
unexport LD_LIBRARY_PATH
endif

.PHONY: ros-not-sourced help setup demo test faults coverage interop interop-lerobot fuzz attack guards soak lint format train ablations evaluate bench clean

help:
	@echo "make demo      the arm obeys three instructions over ROS 2; writes a video (sets itself up)"
	@echo "make test      lint, then all tests (sets itself up); TEST_ARGS='-k loop' for some"
	@echo "make faults    inject every fault; writes docs/faults.md with the measured reaction times"
	@echo "make coverage  lines of runtime/ and ros/ that the tests run, those of node processes too"
	@echo "make interop   our server with the public openpi-client, our node with a server of its codec"
	@echo "make interop-lerobot   policies saved by the public lerobot, served and followed; downloads some GB"
	@echo "make guards    take out one guard after another and see its tests turn red"
	@echo "make fuzz      throw malformed messages at a node; ARGS='--messages 20000'"
	@echo "make soak      a random fault every few seconds for SOAK_MINUTES=$(SOAK_MINUTES); tells what happened"
	@echo "make attack    100,000 hostile targets at the shaper and the safety filter"
	@echo "make lint      ruff, mypy, launch files, XML"
	@echo "make format    let ruff rewrite the code"
	@echo "make train     the shipped checkpoint's recipe, hours: DATA=$(DATA), OUT=$(OUT)"
	@echo "make ablations variants of the first training on the same scenes, hours"
	@echo "make evaluate  success rates over unseen seeds; ARGS='--episodes 20 --seed 1000'"
	@echo "make bench     time one step of the control loop and the jitter of its tick"
	@echo "make setup     only the set-up, in $(notdir $(VENV))"
	@echo "make clean     remove the virtual environments and caches"
	@echo
	@echo "PYTHON=python3.12          the Python to build on (3.11 to 3.13)"
	@echo "ROS_DISTRO_WHEELS=kilted   ROS 2 Kilted's wheels instead of Jazzy's, in .venv-kilted"
	@echo "IGNORE_ROS=1               use the wheels although a ROS 2 install is sourced"
	@echo
	@echo "With a ROS 2 install:      colcon build --packages-select vla_ros"
	@echo "                           source install/setup.bash; ros2 launch vla_ros vla.launch.py"

setup: $(STAMP)

$(STAMP): $(INSTALLED) $(PACKAGED)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --no-deps --no-build-isolation -e .
	@touch $@

ros-not-sourced:
	@scripts/refuse_sourced_ros.sh

$(INSTALLED): $(PINNED) scripts/setup_venv.sh scripts/setup_egl.sh | ros-not-sourced
	@scripts/setup_venv.sh $(VENV) $(ROS_DISTRO_WHEELS)
	@scripts/setup_egl.sh $(BIN)/python
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m vla_ros demo $(ARGS)

# Two workers, each in a ROS domain of its own (test/conftest.py); one BLAS thread each.
test: lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --timeout 180 $(TEST_ARGS)

# One after another, so that the times are those of a quiet machine.
faults: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m fault --timeout 180 --reactions=.reactions.json $(TEST_ARGS)
	@$(BIN)/python test/fault_table.py .reactions.json

# One after another. What the tests' processes ran counts, too.
COVERING := test/runtime test/ros test/launch test/bench/test_node.py test/test_demo.py
coverage: $(STAMP)
	@$(BIN)/coverage erase
	@OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q --timeout 600 $(or $(TEST_ARGS),$(COVERING)); \
		status=$$?; $(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$status

# Not in CI: it downloads a package that nothing else needs, which wants an older NumPy.
interop: $(STAMP)
	@scripts/setup_interop.sh .venv-interop
	@$(BIN)/python test/interop/interop.py .venv-interop/bin/python

# Not in CI: see scripts/setup_lerobot.sh.
interop-lerobot: $(STAMP)
	@scripts/setup_lerobot.sh .venv-lerobot
	@$(BIN)/python test/interop/lerobot_interop.py .venv-lerobot/bin/python

guards: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python test/take_out_guards.py

fuzz: $(STAMP)
	@$(BIN)/python test/ros/fuzz.py $(ARGS)

soak: $(STAMP)
	@$(BIN)/python test/soak/soak.py --minutes $(SOAK_MINUTES) $(ARGS)

attack: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s test/runtime/test_attack.py --attacks 100000 $(TEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy
	@$(BIN)/python -m compileall -q launch
	@$(BIN)/python -m pytest -q test/test_package.py

format: $(STAMP)
	@$(BIN)/ruff check --fix $(CHECKED)
	@$(BIN)/ruff format $(CHECKED)

# Each round records what the expert does where the policy of the round before got to. A finished
# training is left alone: there are more data by then.
define TRAIN
	@$(if $(shell grep -s '"finished": true' $(2)/config.json),echo "$(2): trained already",\
		$(BIN)/python -m vla_ros train --config config/train/$(1).yaml --data $(or $(4),$(DATA)) --out $(2) \
		$(if $(3),--init $(3)) $(if $(wildcard $(2)/training_state.pt),--resume) $(ARGS))
endef
define CORRECT
	@$(BIN)/python -m vla_ros collect --out $(DATA) --episodes 0 --corrections $(1) --checkpoint $(2)
endef

train: $(STAMP)
	@$(BIN)/python -m vla_ros collect --out $(DATA) --episodes 3000 --moments 8000
	$(call TRAIN,tabletop,$(OUT)_first)
	$(call CORRECT,2500,$(OUT)_first)
	$(call TRAIN,tabletop_corrections,$(OUT)_second,$(OUT)_first)
	$(call CORRECT,5000,$(OUT)_second)
	$(call TRAIN,tabletop_words,$(OUT)_third,$(OUT)_second)
	$(call CORRECT,7500,$(OUT)_third)
	$(call TRAIN,tabletop_fourth,$(OUT)_fourth,$(OUT)_third)
	@# Scenes that no round before has seen.
	@$(BIN)/python -m vla_ros collect --out $(DATA)_disturbed --seed 3100000 --episodes 1500 \
		--moments 4000 --corrections 3000 --checkpoint $(OUT)_fourth
	$(call TRAIN,tabletop_disturbed,$(OUT),$(OUT)_fourth,$(DATA)_disturbed)

ablations: $(STAMP)
	@$(BIN)/python -m vla_ros ablate --data $(DATA) --out runs/ablations $(ARGS)

evaluate: $(STAMP)
	@$(BIN)/python -m vla_ros evaluate $(ARGS)

bench: $(STAMP)
	@$(BIN)/python -m vla_ros bench loop $(ARGS)

clean:
	rm -rf .venv .venv-* build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find vla_ros test launch -name __pycache__ -type d -prune -exec rm -r {} +
