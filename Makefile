# The doors to this checkout: `make lab` builds the lab, `make test` proves the collection, `make help` lists the rest.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PYTHON
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

SUITES := lint sanity unit kernel matrix integration readme molecule
TOOLS := iproute2 nftables iptables iputils-ping procps util-linux
.PHONY: tools help lab clean-lab test $(SUITES) bench golden docs format images clean .venv .venv-dev collection

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1@\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F@ "{ printf \"%-20s %s\\n\", \$$1, \$$2 }"

# -- the lab ---------------------------------------------------------------------------------------------------------

playbook = .venv/bin/ansible-playbook --extra-vars 'ansible_python_interpreter={{ ansible_playbook_python }}' $(ask) $(ARGS)
ask = $(shell [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null || echo --ask-become-pass)

lab: .venv ## build the red and blue lab on this machine (ARGS='--check --diff' and the like are passed on)
	@$(playbook) playbooks/site.yml

clean-lab: .venv ## remove the lab again
	@$(playbook) playbooks/teardown.yml

# -- the tests -------------------------------------------------------------------------------------------------------

test: ## every suite below, then a summary; nothing stops at the first failure
	@tests/tools/suites.sh $(SUITES)

lint: .venv-dev ## what can be said from reading the code: style, types, docs, playbooks
	@tests/tools/lint.sh

sanity: .venv-dev ## ansible-test sanity
	@tests/tools/ansible-test.sh sanity

unit: .venv-dev ## pytest on pure code, no kernel
	@.venv-dev/bin/pytest -q -n auto tests/unit $(ARGS)

kernel: .venv-dev tools ## pytest against this kernel, in private namespaces
	@tests/tools/isolated.sh .venv-dev/bin/pytest -q -n auto tests/kernel $(ARGS)

matrix: .venv-dev tools ## the oldest to the newest Python, pyroute2 and ansible-core
	@tests/tools/matrix.sh

integration: .venv-dev tools ## ansible-test integration, in private namespaces
	@tests/tools/isolated.sh tests/tools/ansible-test.sh integration \
		--allow-root --allow-destructive --continue-on-error $(ARGS)

readme: .venv-dev tools ## every command of the README, in a fresh clone of the last commit
	@.venv-dev/bin/pytest -q tests/readme $(ARGS)

molecule: .venv-dev ## roles in systemd containers (S=default for one scenario)
	@tests/tools/molecule.sh $(S)

bench: export PYTHONPATH := $(CURDIR)/.ansible/collections
bench: .venv-dev tools ## how long labs of many sizes take
	@tests/tools/packages.sh gcc libc6-dev
	@tests/tools/packages.sh mininet bridge-utils || true  # left out of the table where it can't be had
	@tests/tools/isolated.sh .venv-dev/bin/python tests/bench/run.py $(ARGS)

# -- the rest --------------------------------------------------------------------------------------------------------

tools:
	@tests/tools/packages.sh $(TOOLS)

images: .venv-dev ## build the container images that molecule uses
	@tests/images/build.sh

golden: export PYTHONPATH := $(CURDIR)/.ansible/collections
golden: .venv-dev ## render the golden rulesets in tests/unit/golden anew; read the difference before you commit it
	@.venv-dev/bin/python tests/tools/golden.py $(ARGS)

docs: export PYTHONPATH := $(CURDIR)/.ansible/collections
docs: .venv-dev ## write what is generated in docs/ anew; read the words around it again
	@.venv-dev/bin/python tests/tools/nat_page.py
	@.venv-dev/bin/python tests/tools/lab_schema.py

format: .venv-dev ## let ruff write the code as lint wants it
	@.venv-dev/bin/ruff format -q . --exclude plugins/modules --exclude plugins/module_utils
	@.venv-dev/bin/ruff format -q --config ruff-modules.toml plugins/modules plugins/module_utils

clean: ## remove virtual environments and caches (not the lab: see clean-lab)
	@rm -rf .venv .venv-dev .nox .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/output

.venv: collection
	@tests/tools/venv.sh .venv requirements/lab.txt

.venv-dev: collection
	@tests/tools/venv.sh .venv-dev requirements/dev.txt

# Ansible and Python find a collection by its path, and a checkout may lie anywhere: a link gives it the path they want.
collection:
	@mkdir -p .ansible/collections/ansible_collections/patchbay
	@ln -sfn ../../../.. .ansible/collections/ansible_collections/patchbay/netns
