# shellcheck shell=bash
# The set-up that the other tools share: it installs missing system packages, then brings .venv, the
# built extension and the built page up to date. Every step leaves a stamp with the hash of its
# inputs, and is skipped while the hash is the same.
#
# This file is sourced, with the repository as working directory. Progress goes to standard error.

venv=.venv
venv_python=$venv/bin/python
min_python=11 # of 3.x; see requires-python
max_python=13

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

# hash_of FILE...: prints a hash of the contents of all the files and of the folder's path. The path
# is part of it because a virtual environment cannot be moved.
hash_of() { { pwd && cat -- "$@"; } | sha256sum | cut -d' ' -f1; }

usable_python() {
  "$1" -c "import sys; sys.exit(not (3, $min_python) <= sys.version_info[:2] <= (3, $max_python))" \
    2>/dev/null
}

# optimized_python PYTHON: whether it is built with profile-guided optimization. One that is not, as
# version managers make it, takes half as much time again. Distributions do not say how they build
# theirs, but theirs are.
optimized_python() {
  "$1" -c 'import os, sys, sysconfig
said = sysconfig.get_config_var("CONFIG_ARGS") or ""
sys.exit(not ("--enable-optimizations" in said or os.path.realpath(sys.executable).startswith("/usr/bin/")))' \
    2>/dev/null
}

# find_python: prints the first usable interpreter that is optimized, or else the first usable one
find_python() {
  local candidate first=
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && usable_python "$candidate"; then
      if optimized_python "$candidate"; then
        printf '%s\n' "$candidate"
        return
      fi
      first=${first:-$candidate}
    fi
  done
  [[ -n $first ]] && printf '%s\n' "$first"
}

# missing_packages: prints the names of missing apt packages, with WITH_TESTS=1 also those for
# tests. It looks for the programs and files themselves, which need not come from apt.
missing_packages() {
  local python name=python3
  command -v cc >/dev/null || echo gcc libc6-dev
  [[ -e /usr/include/stdio.h ]] || echo libc6-dev
  command -v pkg-config >/dev/null || echo pkg-config
  pkg-config --exists libcrypto 2>/dev/null || echo libssl-dev
  if python=$(find_python); then
    # the packages of an interpreter that is not the distribution's default have its name
    name=${python##*/}
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

# test_packages: prints the missing ones among the packages for tests:
#   chromium, firefox, fonts    meetings of browsers
#   iproute2, iputils-ping      networks made for tests
#   coturn                      a TURN relay between browsers and server
#   nginx                       a proxy in front of the server
#   ffmpeg, GStreamer           plain RTP
#   redis                       state that another machine goes on with
#   clang with libFuzzer        fuzzing the engine
test_packages() {
  command -v chromium >/dev/null || echo chromium
  command -v firefox-esr >/dev/null || echo firefox-esr
  [[ -n $(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null) ]] || echo fonts-dejavu-core
  PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null || echo iproute2
  command -v ping >/dev/null || echo iputils-ping
  PATH=$PATH:/usr/sbin:/sbin command -v turnserver >/dev/null || echo coturn
  PATH=$PATH:/usr/sbin:/sbin command -v nginx >/dev/null || echo nginx-light
  command -v ffmpeg >/dev/null || echo ffmpeg
  command -v redis-server >/dev/null || echo redis-server
  if ! command -v clang >/dev/null; then
    echo clang
  elif [[ -z $(find "$(clang -print-resource-dir)" -name 'libclang_rt.fuzzer*' -print -quit) ]]; then
    # clang's own package does not contain it everywhere; its package is named after the version
    echo "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
  fi
  command -v gst-launch-1.0 >/dev/null || echo gstreamer1.0-tools
  # plugins-base has opusenc; plugins-good has vp8enc and rtpbin
  [[ -n $(find /usr/lib* -name libgstopus.so -print -quit) ]] || echo gstreamer1.0-plugins-base
  [[ -n $(find /usr/lib* -name libgstvpx.so -print -quit) ]] || echo gstreamer1.0-plugins-good
}

# may_install: whether apt-get can be run here
may_install() { command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

# apt_install PACKAGE...: as root, or by a sudo that asks for no password
apt_install() {
  local as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  say "Installing $*"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >&2
}

install_packages() {
  local found newest
  found=$(missing_packages | tr '\n' ' ')
  [[ -z ${found// /} ]] && return
  if ! find_python >/dev/null && command -v python3 >/dev/null; then
    newest=$(python3 --version)
    say "$newest is not one of 3.$min_python to 3.$max_python, which this project needs."
  fi
  read -ra found <<<"$found"
  command -v apt-get >/dev/null || die "please install what Debian calls: ${found[*]}"
  may_install || die "please install: ${found[*]}  (sudo apt-get install ${found[*]})"
  apt_install "${found[@]}"
  find_python >/dev/null ||
    die "no Python from 3.$min_python to 3.$max_python here; install python3.$max_python with its" \
      "-venv and -dev packages"
}

# install_optional_packages: tries once to install what only makes the server faster:
#   libipsec-mb     AES-GCM of media; Debian has it for amd64
install_optional_packages() {
  local stamp=build/.stamp-optional
  [[ $(uname -m) != x86_64 || -e /usr/include/intel-ipsec-mb.h || -e $stamp ]] && return
  { may_install && apt_install libipsec-mb-dev; } ||
    say "Without libipsec-mb-dev the server encrypts media by libcrypto, which takes more time"
  touch "$stamp"
}

make_venv() {
  if [[ ! -x $venv_python ]] || ! usable_python "$venv_python" || [[ $(cat $venv/.path 2>/dev/null) != "$PWD" ]]; then
    say "Making $venv"
    "$(find_python)" -m venv --clear "$venv"
    pwd >"$venv/.path"
  fi
}

# install_requirements FILE: installs the packages in FILE, which are locked by hash
install_requirements() {
  local stamp=$venv/.stamp-requirements lock hash
  # requirements-dev.txt contains all packages of the other lists
  for lock in requirements-dev.txt "$1"; do
    [[ $(cat "$stamp" 2>/dev/null) == "$lock $(hash_of "$lock")" ]] && return
  done
  hash=$(hash_of "$1")
  say "Installing Python packages ($1)"
  "$venv_python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1" >&2
  echo "$1 $hash" >"$stamp"
}

# install_package werror|plain: installs this package, editable: an import rebuilds the extension if
# its sources have changed. With werror, warnings of the C compiler are errors.
install_package() {
  local stamp=$venv/.stamp-package sources hash args=()
  mapfile -t sources < <(find src pyproject.toml meson.build -name meson.build -o -name pyproject.toml |
    LC_ALL=C sort)
  hash=$(hash_of "${sources[@]}" "$(command -v cc)")
  # a build with werror is good for plain, too
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

# install_npm_packages FOLDER WHOSE: installs the npm packages that are locked in FOLDER. WHOSE is
# for the progress message.
install_npm_packages() {
  local stamp=$1/node_modules/.stamp hash
  hash=$(hash_of "$1/package.json" "$1/package-lock.json")
  [[ $(cat "$stamp" 2>/dev/null) == "$hash" ]] && return
  say "Installing $2 packages"
  npm --prefix "$1" ci --loglevel=error --no-audit --no-fund >&2
  echo "$hash" >"$stamp"
}

install_web_packages() { install_npm_packages web "the page's"; }

# build_page: builds the page into the package
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

# set_up REQUIREMENTS werror|plain: the whole set-up. A lock keeps two runs from working at a time.
set_up() {
  mkdir -p build
  exec 9>build/.lock
  flock 9
  install_packages
  install_packages # again: with an interpreter just installed, its -venv and -dev may be missing
  install_optional_packages
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
