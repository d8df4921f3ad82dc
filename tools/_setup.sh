# shellcheck shell=bash
# What tools/serve and tools/test do first: see that the system's packages are there, then keep .venv,
# the built extension and the built page up to date. Every step leaves a stamp with the hash of what
# it was made from and is skipped while that has not changed.
#
# Sourced, with the repository as working directory. Progress goes to standard error.

venv=.venv
venv_python=$venv/bin/python
min_python=11 # of 3.x; see requires-python
max_python=13

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

# hash FILE...: one line for the contents of all the files, and the folder's path, since a virtual
# environment does not survive being moved
hash_of() { { pwd && cat -- "$@"; } | sha256sum | cut -d' ' -f1; }

usable_python() {
  "$1" -c "import sys; sys.exit(not (3, $min_python) <= sys.version_info[:2] <= (3, $max_python))" \
    2>/dev/null
}

# prints the first interpreter that will do
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && usable_python "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# prints the apt packages that are missing; WITH_TESTS=1 looks for those of the tests too.
# What is asked is whether a thing is there, not whether apt brought it.
missing_packages() {
  local python name=python3
  command -v cc >/dev/null || echo gcc libc6-dev
  [[ -e /usr/include/stdio.h ]] || echo libc6-dev
  command -v pkg-config >/dev/null || echo pkg-config
  pkg-config --exists libcrypto 2>/dev/null || echo libssl-dev
  if python=$(find_python); then
    # an interpreter beside the distribution's own has its parts under its own name
    [[ $python == python3 ]] || name=$python
    "$python" -c 'import venv, ensurepip' 2>/dev/null || echo "$name-venv"
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
      echo "$name-dev"
  else
    echo python3 python3-venv python3-dev
  fi
  [[ -d /etc/ssl/certs && -n $(ls -A /etc/ssl/certs) ]] || echo ca-certificates
  if [[ -n ${WITH_TESTS:-} ]]; then
    test_packages
  fi
}

# chromium and its fonts: browsers meet; iproute2, iputils-ping: networks made for tests; coturn: a
# relay between browsers and server; nginx: a proxy in front of it; ffmpeg, GStreamer: plain RTP; clang
# with libFuzzer: the engine's core
test_packages() {
  command -v chromium >/dev/null || echo chromium
  [[ -n $(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null) ]] || echo fonts-dejavu-core
  PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null || echo iproute2
  command -v ping >/dev/null || echo iputils-ping
  PATH=$PATH:/usr/sbin:/sbin command -v turnserver >/dev/null || echo coturn
  PATH=$PATH:/usr/sbin:/sbin command -v nginx >/dev/null || echo nginx-light
  command -v ffmpeg >/dev/null || echo ffmpeg
  if ! command -v clang >/dev/null; then
    echo clang
  elif [[ -z $(find "$(clang -print-resource-dir)" -name 'libclang_rt.fuzzer*' -print -quit) ]]; then
    # named after the version, and not of clang's own package everywhere
    echo "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
  fi
  command -v gst-launch-1.0 >/dev/null || echo gstreamer1.0-tools
  # the elements in use: opusenc of one, vp8enc and rtpbin of the other
  [[ -n $(find /usr/lib* -name libgstopus.so -print -quit) ]] || echo gstreamer1.0-plugins-base
  [[ -n $(find /usr/lib* -name libgstvpx.so -print -quit) ]] || echo gstreamer1.0-plugins-good
}

install_packages() {
  local found newest as_root=()
  found=$(missing_packages | tr '\n' ' ')
  [[ -z ${found// /} ]] && return
  if ! find_python >/dev/null && command -v python3 >/dev/null; then
    newest=$(python3 --version)
    say "$newest is not one of 3.$min_python to 3.$max_python, which this project needs."
  fi
  read -ra found <<<"$found"
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null ||
      die "please install: ${found[*]}  (sudo apt-get install ${found[*]})"
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null || die "please install what Debian calls: ${found[*]}"
  say "Installing ${found[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "${found[@]}" >&2
  find_python >/dev/null ||
    die "no Python from 3.$min_python to 3.$max_python here; install python3.$max_python with its" \
      "-venv and -dev packages"
}

make_venv() {
  if [[ ! -x $venv_python ]] || ! usable_python "$venv_python" || [[ $(cat $venv/.path 2>/dev/null) != "$PWD" ]]; then
    say "Making $venv"
    "$(find_python)" -m venv --clear "$venv"
    pwd >"$venv/.path"
  fi
}

# install_requirements FILE: everything in FILE is locked by hash
install_requirements() {
  local stamp=$venv/.stamp-requirements lock hash
  # the list for tests holds all that the list for serving does
  for lock in requirements-dev.txt "$1"; do
    [[ $(cat "$stamp" 2>/dev/null) == "$lock $(hash_of "$lock")" ]] && return
  done
  hash=$(hash_of "$1")
  say "Installing Python packages ($1)"
  "$venv_python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1" >&2
  echo "$1 $hash" >"$stamp"
}

# The package itself, editable: an import rebuilds the extension when its sources have changed.
# install_package werror|plain: with werror, warnings of the C compiler are errors.
install_package() {
  local stamp=$venv/.stamp-package sources hash args=()
  mapfile -t sources < <(find src pyproject.toml meson.build -name meson.build -o -name pyproject.toml |
    LC_ALL=C sort)
  hash=$(hash_of "${sources[@]}" "$(command -v cc)")
  # a build with werror serves as well
  case $(cat "$stamp" 2>/dev/null) in
    "$hash werror" | "$hash $1") return ;;
  esac
  say "Building the extension"
  rm -f "$stamp"
  [[ $1 == werror ]] && args=(--config-settings=setup-args=-Dwerror=true)
  "$venv_python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
    "${args[@]}" --editable . >&2
  echo "$hash $1" >"$stamp"
}

# install_npm_packages FOLDER WHOSE: npm's packages, as locked in FOLDER
install_npm_packages() {
  local stamp=$1/node_modules/.stamp hash
  hash=$(hash_of "$1/package.json" "$1/package-lock.json")
  [[ $(cat "$stamp" 2>/dev/null) == "$hash" ]] && return
  say "Installing $2 packages"
  npm --prefix "$1" ci --loglevel=error --no-audit --no-fund >&2
  echo "$hash" >"$stamp"
}

install_web_packages() { install_npm_packages web "the page's"; }

# The page, built into the package.
build_page() {
  local stamp=build/.stamp-page sources hash
  mapfile -t sources < <(find web -path web/node_modules -prune -o -path web/test -prune -o \
    -type f -print | LC_ALL=C sort)
  hash=$(hash_of "${sources[@]}")
  [[ -e src/meet_trio/web/index.html && $(cat "$stamp" 2>/dev/null) == "$hash" ]] && return
  install_web_packages
  say "Building the page"
  npm --prefix web run build --loglevel=error >&2
  echo "$hash" >"$stamp"
}

# set_up REQUIREMENTS werror|plain: all of it. Two at a time would trip over each other.
set_up() {
  mkdir -p build
  exec 9>build/.lock
  flock 9
  install_packages
  install_packages # what goes with a package that was not there before
  make_venv
  # node, npm, ninja and meson of the virtual environment
  PATH=$PWD/$venv/bin:$PATH
  export PATH
  install_requirements "$1"
  install_package "$2"
  build_page
  if [[ -n ${WITH_TESTS:-} ]]; then
    install_npm_packages tests/e2e/socketio_clients "the stock clients'"
  fi
  exec 9>&-
}
