{{- define "hub.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "hub.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hub.labels" -}}
{{ include "hub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: canopy
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "hub.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "hub.advertise" -}}
{{- if .Values.advertise }}{{ join "," .Values.advertise -}}
{{- else }}{{ include "hub.name" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}{{ end -}}
{{- end }}

{{- /* What every container of the hub is told, so that `kubectl exec … canopy-hub admin` needs no flags. */ -}}
{{- define "hub.environment" -}}
- {name: CANOPY_DATA, value: /var/lib/canopy-hub/data}
- {name: CANOPY_LISTEN, value: "{{ .Values.listen }}:7443"}
- {name: CANOPY_ADVERTISE, value: {{ include "hub.advertise" . | quote }}}
- {name: CANOPY_ADMIN, value: "{{ .Values.listen }}:7444"}
- {name: CANOPY_ADMIN_SERVER, value: {{ .Values.adminServer | quote }}}
- {name: CANOPY_HEALTH, value: "{{ .Values.listen }}:7445"}
- {name: CANOPY_LOG, value: {{ .Values.log | quote }}}
{{- with .Values.parent.addresses }}
- {name: CANOPY_PARENT_ADDRESS, value: {{ join "," . | quote }}}
{{- end }}
{{- with .Values.parent }}
{{- if .proxySecret }}
- name: CANOPY_PROXY
  valueFrom: {secretKeyRef: {name: {{ .proxySecret }}, key: {{ .proxyKey }}}}
{{- end }}
{{- end }}
{{- end }}

{{- define "hub.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
