{{- /* The agent's inventories are in one namespace, and so is the agent: one per cluster. */ -}}
{{- define "agent.namespace" -}}
{{- if ne .Release.Namespace "canopy-system" -}}
{{- fail "the agent keeps its inventories in the namespace canopy-system, so it is installed there: add --namespace canopy-system --create-namespace" -}}
{{- end -}}
canopy-system
{{- end }}

{{- define "agent.selector" -}}
app.kubernetes.io/name: canopy-agent
{{- end }}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: canopy
{{- end }}

{{- define "agent.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* What every container of the agent is told, so that `kubectl exec … canopy-agent status` needs no flags. */ -}}
{{- define "agent.environment" -}}
- {name: CANOPY_DATA, value: /var/lib/canopy-agent/data}
- {name: CANOPY_IDENTITY_SECRET, value: canopy-system/canopy-agent-identity}
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

{{- define "agent.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
