#!/usr/bin/env bash
# Make a checkout ready to run: virtual environment, Java, jars, local key. Run it as often as you like:
# a step whose inputs have not changed is skipped, a step that was cut short is done again.
# `bin/setup.sh kafka` and `bin/setup.sh postgres` bring what the local servers of bin/servers.sh need.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

STAMPS=.setup
JAVA_PACKAGE=openjdk-17-jre-headless

# ---- telling -------------------------------------------------------------------------------------------------------

fail() { # what is wrong, then lines that say what to do
  printf 'make setup: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

timed() { # label, command…: one line when it starts, its seconds when it is done
  local label=$1 started=$SECONDS
  shift
  printf 'setup: %s ... ' "$label"
  "$@"
  printf '%s s\n' "$((SECONDS - started))"
}

# ---- stamps: a step is done when its stamp holds the fingerprint of its inputs -------------------------------------

fingerprint() { # words and files; a file counts by its content
  local input
  for input in "$@"; do
    if [[ -f $input ]]; then sha256sum <"$input"; else printf '%s\n' "$input"; fi
  done | sha256sum | cut -d ' ' -f 1
}

is_done() { [[ -f $STAMPS/$1 && $(<"$STAMPS/$1") == "$2" ]]; }

mark_done() {
  printf '%s\n' "$2" >"$STAMPS/$1.new"
  mv "$STAMPS/$1.new" "$STAMPS/$1"
}

# ---- system packages -----------------------------------------------------------------------------------------------

as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }

may_install() { command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

install_packages() { # the packages; apt's own words are shown only when it fails
  {
    as_root apt-get update -q &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
  } >"$STAMPS/apt.log" 2>&1 </dev/null || {
    echo
    tail -n 15 "$STAMPS/apt.log" >&2
    fail "the packages could not be installed: $*" "Install them, then run make setup again:" \
      "sudo apt-get update && sudo apt-get install -y $*"
  }
}

# ---- Python --------------------------------------------------------------------------------------------------------

is_usable_python() { # a command; ensurepip is what Debian leaves out when python3-venv is missing
  "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12; do
    if is_usable_python "$candidate"; then
      command -v "$candidate"
      return
    fi
    if [[ -n ${PYTHON:-} ]]; then
      fail "PYTHON=$PYTHON is not Python 3.11 or 3.12 with venv." \
        "Name another one (make setup PYTHON=/path/to/python3.11), or leave PYTHON unset."
    fi
  done
  return 1
}

make_venv() { # the Python to use
  # One that was cut short is thrown away, and so is one that was moved here: its scripts name the old place.
  if [[ -e $STAMPS/venv.unfinished ]] || ! .venv/bin/python -c '' 2>/dev/null ||
    [[ $(head -n 1 .venv/bin/pip) != "#!$PWD/.venv/bin/python"* ]]; then
    rm -rf .venv
  fi
  touch "$STAMPS/venv.unfinished"
  [[ -d .venv ]] || "$1" -m venv .venv
  # Wheels only, so that nothing needs a compiler; PySpark alone is published as a source archive.
  .venv/bin/python -m pip install -q --progress-bar off --disable-pip-version-check --require-hashes \
    --only-binary :all: --no-binary pyspark -r requirements.lock 2>"$STAMPS/pip.log" || {
    echo
    tail -n 15 "$STAMPS/pip.log" >&2
    fail "requirements.lock could not be installed." \
      "With no network: check that pip reaches its package index (.venv/bin/python -m pip download --no-deps rich)." \
      "With a hash mismatch: a package is not what was locked; don't go on before you know why." \
      "Otherwise start afresh: rm -rf .venv && make setup"
  }
  # Makes `import jobs` work from any folder, notebooks and spark-submit on a job's file among them.
  pwd >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/customer-lakehouse.pth"
  rm "$STAMPS/venv.unfinished"
}

set_up_python() {
  local inputs python
  inputs=$(fingerprint requirements.lock "$PWD")
  if is_done venv "$inputs" && [[ -x .venv/bin/python ]]; then return; fi
  if ! python=$(find_python); then
    if [[ -n ${PYTHON:-} ]]; then exit 1; fi
    may_install || fail "no Python 3.11 or 3.12 with venv was found." "Install it, then run make setup again:" \
      "sudo apt-get update && sudo apt-get install -y python3 python3-venv"
    timed "Python with venv, by apt-get" install_packages python3 python3-venv
    python=$(find_python) || fail "this system's python3 is neither 3.11 nor 3.12." \
      "Install one of them with venv and name it: make setup PYTHON=/path/to/python3.11"
  fi
  timed "virtual environment from requirements.lock (about 2 minutes)" make_venv "$python"
  mark_done venv "$inputs"
}

# ---- Java ----------------------------------------------------------------------------------------------------------

java_home() { # a java command: its home, if it is of version 17 or 21
  local properties
  properties=$("$1" -XshowSettings:properties -version 2>&1) || return 1
  grep -Eq '^ *java\.specification\.version = (17|21)$' <<<"$properties" || return 1
  sed -n 's/^ *java\.home = //p' <<<"$properties"
}

find_java() {
  local candidate
  for candidate in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/java-{17,21}-openjdk-*/bin/java; do
    if java_home "$candidate" 2>/dev/null; then return; fi
  done
  return 1
}

set_up_java() { # .setup/java_home says which Java it is; the Makefile hands it on
  local home
  if ! home=$(find_java); then
    may_install || fail "no Java 17 or 21 was found (JAVA_HOME, PATH)." "Install it, then run make setup again:" \
      "sudo apt-get update && sudo apt-get install -y $JAVA_PACKAGE" \
      "or name one that is there: make setup JAVA_HOME=/path/to/jdk-17"
    timed "Java 17, by apt-get" install_packages "$JAVA_PACKAGE"
    home=$(find_java) || fail "$JAVA_PACKAGE is installed, but its java does not start." \
      "Name a Java 17 or 21: make setup JAVA_HOME=/path/to/jdk-17"
  fi
  mark_done java_home "$home"
}

# ---- jars: an Ivy file, the list of their checksums, and the folder where they lie --------------------------------

verify_jars() { # list, folder: it holds the jars of the list, unchanged, and no other; prints what differs
  local missing unknown
  missing=$(LC_ALL=C comm -23 <(named_jars "$1") <(present_jars "$2") | sed 's/$/ is missing/')
  unknown=$(LC_ALL=C comm -13 <(named_jars "$1") <(present_jars "$2") | sed 's/$/ is not in the list/')
  if [[ -n $missing$unknown ]]; then
    printf '%s\n' ${missing:+"$missing"} ${unknown:+"$unknown"}
    return 1
  fi
  (cd "$2" && sha256sum --check --quiet --strict - 2>/dev/null) <"$1"
}

named_jars() { sed 's/^[0-9a-f]*  //' "$1" | LC_ALL=C sort; }

present_jars() { find "$1" -name '*.jar' -printf '%f\n' 2>/dev/null | LC_ALL=C sort; }

fetch_jars() { # Ivy file, list, folder: which is replaced only when every jar is there and right
  local ivy new=$STAMPS/jars.new
  ivy=$(compgen -G '.venv/lib/python3*/site-packages/pyspark/jars/ivy-*.jar') ||
    fail "Spark's own ivy jar is missing from the virtual environment." "Start afresh: rm -rf .venv .setup && make setup"
  rm -rf "$new"
  "$(<"$STAMPS/java_home")/bin/java" -Divy.default.ivy.user.dir="$PWD/.cache/ivy" -jar "$ivy" -ivy "$1" \
    -cache .cache/ivy -confs default -retrieve "$new/[artifact]-[revision].[ext]" >"$STAMPS/ivy.log" 2>&1 || {
    echo
    grep -E 'UNRESOLVED|FAILED|not found|Exception' "$STAMPS/ivy.log" | head -n 15 >&2
    fail "the jars of $1 could not be fetched (Ivy's own words: $STAMPS/ivy.log)." \
      "Check that Maven Central can be reached, then start the jars afresh: rm -rf .cache/ivy && make setup"
  }
  verify_jars "$2" "$new" || fail "what was fetched is not what $2 names (above); it is refused." \
    "If $1 was changed on purpose, look at $new and write the list anew:" \
    "(cd $new && sha256sum -- *.jar) > $2 && make setup" \
    "Otherwise throw the download away: rm -rf .cache/ivy && make setup"
  rm -rf "$3"
  mkdir -p "$(dirname "$3")"
  mv "$new" "$3"
}

set_up_jars() { # stamp, Ivy file, list, folder
  local inputs differences
  inputs=$(fingerprint "$2" "$3")
  # Looked at on every run, a third of a second: what was right at set-up may have been touched since.
  if differences=$(verify_jars "$3" "$4"); then
    is_done "$1" "$inputs" || mark_done "$1" "$inputs"
    return
  fi
  if [[ -d $4 ]] && is_done "$1" "$inputs"; then
    fail "$4/ has changed since it was set up; it is refused." "$differences" "Fetch it anew: rm -rf $4 && make setup"
  fi
  timed "jars of $2" fetch_jars "$2" "$3" "$4"
  mark_done "$1" "$inputs"
}

unpack_native() { # jar, folder: Hadoop's native library for each kind of Linux
  local new=$STAMPS/native.new
  rm -rf "$new" "$2"
  .venv/bin/python - "$1" "$new" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as jar:
    jar.extractall(sys.argv[2], [name for name in jar.namelist() if name.startswith("nativelib/Linux-")])
PYTHON
  mv "$new/nativelib" "$2"
  rmdir "$new"
}

set_up_native() { # the jar that holds the libraries stays out of jars/, which is the classpath
  local list=conf/native.sha256 folder=jars/native
  if (cd "$folder" && sha256sum --check --quiet --strict -) <"$list" &>/dev/null; then return; fi
  set_up_jars native-jars conf/ivy-native.xml conf/native-jars.sha256 .cache/native-jars
  unpack_native .cache/native-jars/*.jar "$folder"
  (cd "$folder" && sha256sum --check --quiet --strict -) <"$list" ||
    fail "what was unpacked into $folder is not what $list names (above); it is refused." \
      "If conf/ivy-native.xml was changed on purpose, write the list anew:" \
      "(cd $folder && sha256sum -- */*.so) > $list && make setup"
}

# ---- local servers -------------------------------------------------------------------------------------------------

find_postgres() { # .setup/postgres says in which folder its programs lie
  local found
  found=$(command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || return 1
  [[ -n $found ]] && dirname "$(readlink -f "$found")"
}

set_up_postgres() {
  local programs
  if ! programs=$(find_postgres); then
    may_install || fail "no PostgreSQL server was found." "Install it, then try again:" \
      "sudo apt-get update && sudo apt-get install -y postgresql"
    timed "PostgreSQL, by apt-get" install_packages postgresql
    programs=$(find_postgres) || fail "PostgreSQL is installed, but its initdb is not found in /usr/lib/postgresql."
  fi
  mark_done postgres "$programs"
}

# ---- the local key -------------------------------------------------------------------------------------------------

set_up_key() { # only for the environment `local`; any other brings its own key
  local new
  if [[ -e .secrets/local.key ]]; then return; fi
  (umask 077 && mkdir -p .secrets)
  new=$(mktemp .secrets/new.XXXXXX) # mktemp makes it 0600
  od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n' >"$new"
  # A link never takes the place of an existing file: lost keys are lost data.
  ln "$new" .secrets/local.key 2>/dev/null || [[ -e .secrets/local.key ]]
  rm -f "$new"
  echo 'setup: a random key for the local environment, .secrets/local.key'
}

# ---- in order, one at a time ---------------------------------------------------------------------------------------

main() {
  mkdir -p "$STAMPS" .cache/home
  exec 9>"$STAMPS/lock"
  flock 9
  case ${1:-all} in
    kafka)
      set_up_java
      set_up_jars kafka-jars conf/ivy-kafka.xml conf/kafka-jars.sha256 .cache/servers/kafka-jars
      ;;
    postgres) set_up_postgres ;;
    all)
      set_up_python
      set_up_java
      set_up_jars jars conf/ivy.xml conf/jars.sha256 jars
      set_up_native
      set_up_key
      echo 'setup: everything is in place'
      ;;
    *) fail "there is nothing named $1 to set up" "bin/setup.sh [kafka|postgres]" ;;
  esac
}

main "$@"
