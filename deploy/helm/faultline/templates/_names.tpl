{{- define "faultline.name" -}}
{{- if contains "faultline" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-faultline" (.Release.Name | trunc 30 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "faultline.secretName" -}}
{{- .Values.existingSecret | default (include "faultline.name" .) -}}
{{- end -}}

{{- /* Of all pods of this release. */ -}}
{{- define "faultline.selector" -}}
app.kubernetes.io/name: faultline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "faultline.labels" -}}
{{ include "faultline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* (list ROOT NAME): the image of that name. */ -}}
{{- define "faultline.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end -}}
faultline/{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- /* (list DATABASE WHAT): the URL that these values say. */ -}}
{{- define "faultline.databaseUrl" -}}
{{- $database := index . 0 -}}
{{- $what := index . 1 -}}
{{- $host := required (printf "%s.host is needed, or existingSecret" $what) $database.host -}}
{{- $password := required (printf "%s.password is needed, or existingSecret" $what) $database.password -}}
postgresql+psycopg2://{{ $database.user | urlquery | replace "+" "%20" }}:{{ $password | urlquery | replace "+" "%20" }}@{{ $host }}:{{ $database.port }}/{{ $database.name }}?sslmode={{ $database.sslmode }}
{{- if $database.caSecret }}&sslrootcert=/etc/faultline/database/ca.crt
{{- else if hasPrefix "verify-" $database.sslmode }}&sslrootcert=system
{{- end }}
{{- end -}}

{{- define "faultline.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "faultline.name" . }}-mlflow:5000
{{- else -}}
{{- required "mlflow.trackingUri is needed when mlflow.enabled is false" .Values.mlflow.trackingUri -}}
{{- end -}}
{{- end -}}
