#!/bin/bash
# Starts the broker, with a log-in on the external listener where more than this machine reaches it.
set -euo pipefail
. "$(dirname "$0")/exposure.sh"

external=PLAINTEXT
if $login_needed; then
  external=SASL_PLAINTEXT
  export KAFKA_LISTENER_NAME_EXTERNAL_SASL_ENABLED_MECHANISMS=SCRAM-SHA-512
  export KAFKA_LISTENER_NAME_EXTERNAL_SCRAM___SHA___512_SASL_JAAS_CONFIG="org.apache.kafka.common.security.scram.ScramLoginModule required;"
fi
export KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,EXTERNAL:$external"
echo "The external listener is bound to $EXTERNAL_ADDRESS and speaks $external."
exec /etc/kafka/docker/run
