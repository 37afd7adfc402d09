#!/bin/sh
# Writes a certificate that nobody vouches for, and its key, for trying: self-signed.sh FOLDER [NAME...]
# A pair that is there stays as it is.
set -eu
umask 077
folder=$1
shift
mkdir -p "$folder"
if [ -e "$folder/tls.crt" ] || [ -e "$folder/tls.key" ]; then
  echo "$folder has a certificate or a key already; it stays as it is" >&2
  exit 1
fi
names=DNS:localhost,IP:127.0.0.1
for name in "$@"; do names=$names,DNS:$name; done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
  -subj "/CN=${1:-localhost}" -addext "subjectAltName=$names" \
  -keyout "$folder/tls.key" -out "$folder/tls.crt" 2>/dev/null
echo "$folder/tls.crt and tls.key are written, for $names; good for trying, for a year"
