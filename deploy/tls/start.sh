#!/bin/sh
# Starts nginx with TLS: gathers who may come in, and says what is missing.
set -eu
umask 077
files=/run/faultline-tls
access=/tmp/access

die() {
  echo "tls: $*" >&2
  exit 1
}

for name in tls.crt tls.key; do
  [ -r "$files/$name" ] ||
    die "$name is not in TLS_FOLDER: put your own pair there, or try with that of \`make certs\`"
done

# What begins with # and empty lines are for people.
lines_of() {
  [ ! -e "$1" ] || grep -v -e '^#' -e '^[[:space:]]*$' "$1" || true
}

mkdir -p "$access"
{
  [ -z "${TLS_PASSWORD:-}" ] || printf '%s:{PLAIN}%s\n' "$TLS_USERNAME" "$TLS_PASSWORD"
  lines_of "$files/htpasswd"
} >"$access/users"
{
  [ -z "${TLS_API_KEY:-}" ] || printf '%s\n' "$TLS_API_KEY"
  lines_of "$files/api-keys"
} >"$access/keys"

[ -s "$access/users" ] || [ -s "$access/keys" ] ||
  die "nobody could come in: set TLS_PASSWORD or TLS_API_KEY in .env"
bad=$(grep -c -v -E '^[A-Za-z0-9_-]{32,128}$' "$access/keys" || true)
[ "$bad" = 0 ] ||
  die "$bad API keys are not 32 to 128 letters, digits, _ or -; openssl rand -hex 24 makes one"
# As regular expressions: nginx compares other entries of a map without regard to case.
sed 's/.*/"~^&$" 1;/' "$access/keys" >"$access/keys.map"
printf 'default "%s";\n' "$MLFLOW_ADDRESS" >"$access/mlflow.map"

# The workers look users up with each request.
chgrp nginx "$access" "$access/users"
chmod 750 "$access"
chmod 640 "$access/users"
exec nginx -c /opt/faultline/nginx.conf -g 'daemon off;'
