{{- define "faultline.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "faultline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /*
Dependencies are waited for: a service that lacks one is live and not ready, and is not restarted.
(list LIVE READY): the paths.
*/ -}}
{{- define "faultline.probes" -}}
startupProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 90
livenessProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ index . 1 }}, port: http}
  periodSeconds: 5
  timeoutSeconds: 6
  failureThreshold: 3
{{- end -}}

{{- /* (dict root component values): where its pods run. */ -}}
{{- define "faultline.placement" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "faultline.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
{{- end -}}

{{- /* (dict root component values): metadata of a service's pods. */ -}}
{{- define "faultline.podMetadata" -}}
labels:
  {{- include "faultline.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  # A log-in that changes in the values restarts the pods.
  checksum/secret: {{ include (print .root.Template.BasePath "/secret.yaml") .root | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /*
A pod of one of our services: root, component, values, image, port, database, registry, and state,
whether it keeps files on the volume `state`.
*/ -}}
{{- define "faultline.servicePod" -}}
serviceAccountName: {{ include "faultline.name" .root }}-{{ .component }}
automountServiceAccountToken: false
# Services' addresses would come as variables such as FAULTLINE_GATEWAY_PORT=tcp://..., which are
# settings of ours.
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  {{- include "faultline.podSecurity" 10001 | nindent 2 }}
{{ include "faultline.placement" . | trim }}
containers:
  - name: {{ .component }}
    image: {{ include "faultline.image" (list .root .image) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    securityContext:
      {{- include "faultline.containerSecurity" . | nindent 6 }}
    ports:
      - {name: http, containerPort: {{ .port }}}
    env:
      {{- $what := dict "root" .root "secret" (include "faultline.secretName" .root) "kafka" true "database" .database "registry" .registry "settings" .values.settings }}
      {{- include "faultline.environment" $what | trim | nindent 6 }}
    {{- include "faultline.probes" (list "/health/live" "/health/ready") | nindent 4 }}
    # Until every node knows that it goes, requests still come.
    lifecycle:
      preStop:
        exec: {command: [sleep, "5"]}
    resources:
      {{- toYaml .values.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if .state }}
      - {name: state, mountPath: /var/lib/faultline}
      {{- end }}
      {{- include "faultline.kafkaMount" .root | nindent 6 }}
      {{- if .database }}
      {{- include "faultline.databaseMount" .root.Values.database | nindent 6 }}
      {{- end }}
{{- end -}}

{{- define "faultline.databaseMount" -}}
{{- if .caSecret }}
- {name: database-ca, mountPath: /etc/faultline/database, readOnly: true}
{{- end }}
{{- end -}}

{{- define "faultline.databaseVolume" -}}
{{- with .caSecret }}
- name: database-ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- end -}}

{{- define "faultline.kafkaMount" -}}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.caSecret }}
- {name: kafka-ca, mountPath: /etc/faultline/kafka, readOnly: true}
{{- end }}
{{- end -}}

{{- define "faultline.kafkaVolume" -}}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.caSecret }}
- name: kafka-ca
  secret: {secretName: {{ .Values.kafka.tls.caSecret }}}
{{- end }}
{{- end -}}

{{- /* The volumes of all services; the predictor's `state` is a claim. */ -}}
{{- define "faultline.volumes" -}}
- name: tmp
  emptyDir: {}
{{- include "faultline.kafkaVolume" . }}
{{- include "faultline.databaseVolume" .Values.database }}
{{- end -}}
