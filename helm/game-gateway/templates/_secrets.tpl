{{/* The Secret with each of the passwords: the given one, else the chart's. */}}
{{- define "game-gateway.adminSecret" -}}
{{- default (include "game-gateway.fullname" .) .Values.admin.existingSecret -}}
{{- end -}}

{{- define "game-gateway.tokenKeysSecret" -}}
{{- default (include "game-gateway.fullname" .) .Values.tokenKeys.existingSecret -}}
{{- end -}}

{{- define "game-gateway.tlsSecret" -}}
{{- default (printf "%s-tls" (include "game-gateway.fullname" .)) .Values.tls.existingSecret -}}
{{- end -}}

{{/* The previous value of a key of the chart's Secret, in base64, or nothing:
     (list . "-tls" "tls.key"). */}}
{{- define "game-gateway.before" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s%s" (include "game-gateway.fullname" $root) (index . 1) -}}
{{- $before := lookup "v1" "Secret" (include "game-gateway.namespace" $root) $name -}}
{{- if $before -}}
{{- get (default dict $before.data) (index . 2) -}}
{{- end -}}
{{- end -}}

{{/* The value of a key of the chart's Secret, in base64: the given text, else the previous value, else
     a generated one: (list . "-tls" "tls.key" "given"). */}}
{{- define "game-gateway.kept" -}}
{{- $before := include "game-gateway.before" . -}}
{{- if index . 3 -}}
{{- index . 3 | b64enc -}}
{{- else if $before -}}
{{- $before -}}
{{- else -}}
{{- randAlphaNum 48 | b64enc -}}
{{- end -}}
{{- end -}}

{{/* A variable from a Secret: (list "GATEWAY__ADMIN__TOKEN" "secret" "key"). It must be there: without it
     the pod does not start, rather than go on without a password. */}}
{{- define "game-gateway.secretVariable" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 | quote }}
      key: {{ index . 2 | quote }}
{{- end -}}

{{/* The variables with Redis' passwords: (list . "secret") with the Secret of those that are given
     as values. */}}
{{- define "game-gateway.redisVariables" -}}
{{- $root := index . 0 -}}
{{- $redis := $root.Values.externalRedis -}}
{{- if $root.Values.redis.enabled }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__REDIS__PASSWORD" (include "game-gateway.fullname" $root) "redis-password") }}
{{- else if $redis.existingSecret }}
{{- with $redis.existingSecretPasswordKey }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__REDIS__PASSWORD" $redis.existingSecret .) }}
{{- end }}
{{- if and $redis.sentinel.enabled $redis.sentinel.existingSecretPasswordKey }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__REDIS__SENTINEL_PASSWORD" $redis.existingSecret $redis.sentinel.existingSecretPasswordKey) }}
{{- end }}
{{- else }}
{{- if $redis.password }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__REDIS__PASSWORD" (index . 1) "redis-password") }}
{{- end }}
{{- if and $redis.sentinel.enabled $redis.sentinel.password }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__REDIS__SENTINEL_PASSWORD" (index . 1) "redis-sentinel-password") }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Passwords that are given as values. */}}
{{- define "game-gateway.givenSecrets" -}}
{{- list .Values.admin.token .Values.backendAuth.token .Values.redis.password .Values.externalRedis.password .Values.externalRedis.sentinel.password | toJson -}}
{{- end -}}
