{{/* A gateway's environment. */}}
{{- define "game-gateway.environment" -}}
# Becomes gateway.id.
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- if .Values.scaleDown.podDeletionCost.enabled }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}
{{- if .Values.peer.enabled }}
- name: GATEWAY__PEER__ADVERTISE
  value: {{ printf "%s:%d" .Values.peer.advertiseHost (int .Values.containerPorts.peer) | quote }}
{{- end }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__ADMIN__TOKEN" (include "game-gateway.adminSecret" .) .Values.admin.existingSecretTokenKey) }}
{{- if .Values.backendAuth.existingSecret }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__BACKEND__TOKEN" .Values.backendAuth.existingSecret .Values.backendAuth.existingSecretTokenKey) }}
{{- else if .Values.backendAuth.token }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__BACKEND__TOKEN" (include "game-gateway.fullname" .) "backend-token") }}
{{- end }}
{{- if eq .Values.routes.source "redis" }}
{{- include "game-gateway.redisVariables" (list . (include "game-gateway.fullname" .)) }}
{{- end }}
{{- with .Values.extraEnvVars }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/* Mounts below /etc/game-gateway, as a map from folder to volume source. Whole folders, because a file
     that is mounted alone is never updated. */}}
{{- define "game-gateway.mounts" -}}
config:
  configMap:
    name: {{ include "game-gateway.fullname" . }}
token-keys:
  secret:
    secretName: {{ include "game-gateway.tokenKeysSecret" . }}
    items:
      - key: {{ .Values.tokenKeys.existingSecretKey }}
        path: token-keys
{{- if eq .Values.routes.source "file" }}
routes:
  configMap:
    name: {{ default (printf "%s-routes" (include "game-gateway.fullname" .)) .Values.routes.existingConfigMap }}
{{- else if and .Values.externalRedis.tls.enabled (not .Values.redis.enabled) }}
redis-tls:
  secret:
    secretName: {{ .Values.externalRedis.tls.existingSecret }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- range $number, $name := concat (list (include "game-gateway.tlsSecret" .)) (default list .Values.tls.extraSecrets) }}
tls-{{ $number }}:
  secret:
    secretName: {{ $name }}
{{- end }}
{{- with .Values.tls.clientCaSecret }}
tls-client-ca:
  secret:
    secretName: {{ . }}
{{- end }}
{{- end }}
{{- if .Values.backendTls.enabled }}
backend-tls:
  secret:
    secretName: {{ .Values.backendTls.existingSecret }}
{{- end }}
{{- end -}}

{{/* A probe: (list . "startupProbe" "customStartupProbe" "/health"). */}}
{{- define "game-gateway.probe" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $probe := index $root.Values $name -}}
{{- with index $root.Values (index . 2) -}}
{{ $name }}:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- else -}}
{{- if $probe.enabled -}}
{{ $name }}:
  httpGet:
    path: {{ index . 3 }}
    port: admin
  {{- omit $probe "enabled" | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Security context and scheduling of the pods of every part. */}}
{{- define "game-gateway.placement" -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
# A variable for each Service of the namespace would be a lot of them.
enableServiceLinks: false
{{- with concat (default list .Values.global.imagePullSecrets) (default list .Values.image.pullSecrets) | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end -}}
