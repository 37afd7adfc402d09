{{- /* (list SECRET VARIABLE KEY): a variable from the Secret. */ -}}
{{- define "faultline.secretVariable" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef: {name: {{ index . 0 }}, key: {{ index . 2 }}}
{{- end -}}

{{- define "faultline.kafkaEnvironment" -}}
{{- $kafka := .root.Values.kafka -}}
- name: FAULTLINE_KAFKA_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers is needed: host:port, separated by commas" $kafka.bootstrapServers | quote }}
- name: FAULTLINE_KAFKA_SECURITY_PROTOCOL
  value: {{ printf "%s%s" (ternary "SASL_" "" $kafka.sasl.enabled) (ternary "SSL" "PLAINTEXT" $kafka.tls.enabled) }}
- name: FAULTLINE_KAFKA_REPLICATION_FACTOR
  value: {{ $kafka.replicationFactor | quote }}
{{- if and $kafka.tls.enabled $kafka.tls.caSecret }}
- name: FAULTLINE_KAFKA_SSL_CAFILE
  value: /etc/faultline/kafka/ca.crt
{{- end }}
{{- if $kafka.sasl.enabled }}
- name: FAULTLINE_KAFKA_SASL_MECHANISM
  value: {{ $kafka.sasl.mechanism }}
{{ include "faultline.secretVariable" (list .secret "FAULTLINE_KAFKA_USERNAME" "kafka-username") }}
{{ include "faultline.secretVariable" (list .secret "FAULTLINE_KAFKA_PASSWORD" "kafka-password") }}
{{- end }}
{{- end -}}

{{- define "faultline.registryEnvironment" -}}
- name: MLFLOW_TRACKING_URI
  value: {{ include "faultline.trackingUri" .root | quote }}
{{- if .root.Values.mlflow.login }}
{{ include "faultline.secretVariable" (list .secret "MLFLOW_TRACKING_USERNAME" "mlflow-username") }}
{{ include "faultline.secretVariable" (list .secret "MLFLOW_TRACKING_PASSWORD" "mlflow-password") }}
{{- end }}
{{- end -}}

{{- /*
What a container knows: root, secret, kafka, database, registry (whether it uses them), settings (a
map; the service's own over all services').
*/ -}}
{{- define "faultline.environment" -}}
{{- if .kafka }}
{{ include "faultline.kafkaEnvironment" . }}
{{- end }}
{{- if .database }}
{{ include "faultline.secretVariable" (list .secret "FAULTLINE_DATABASE_URL" "database-url") }}
{{- end }}
{{- if .registry }}
{{ include "faultline.registryEnvironment" . }}
{{- end }}
{{- range $name, $value := merge (dict) (.settings | default dict) .root.Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}
