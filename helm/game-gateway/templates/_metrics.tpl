{{/* How a monitor scrapes: its values. */}}
{{- define "game-gateway.scraping" -}}
{{- with .interval -}}
interval: {{ . | quote }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . | quote }}
{{- end }}
honorLabels: {{ .honorLabels }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The labels that samples of this release's gateways have, as each of the monitors gives them. */}}
{{- define "game-gateway.samples" -}}
{{- $namespace := include "game-gateway.namespace" . -}}
{{- $name := include "game-gateway.fullname" . -}}
{{- if .Values.metrics.podMonitor.enabled -}}
{{- printf "namespace=%q, container=\"game-gateway\", pod=~%q" $namespace (printf "%s-[^-]+(-[^-]+)?" $name) -}}
{{- else -}}
{{- printf "namespace=%q, service=%q" $namespace (printf "%s-admin" $name) -}}
{{- end -}}
{{- end -}}
