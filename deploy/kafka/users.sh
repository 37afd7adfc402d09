#!/bin/bash
# Gives the user of the external listener its password; a changed one takes effect. Safe to repeat.
set -euo pipefail
. "$(dirname "$0")/exposure.sh"

if ! $login_needed; then
  echo "The external listener is bound to $EXTERNAL_ADDRESS: nobody has to log in."
  exit 0
fi
umask 077
# In a file: a command line could be read by others.
printf 'SCRAM-SHA-512=password=%s\n' "${EXTERNAL_PASSWORD:?}" >/tmp/credentials
/opt/kafka/bin/kafka-configs.sh --bootstrap-server kafka:19092 --alter \
  --entity-type users --entity-name "${EXTERNAL_USERNAME:?}" --add-config-file /tmp/credentials
