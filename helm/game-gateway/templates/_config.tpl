{{/* The configuration folder in a gateway's container. */}}
{{- define "game-gateway.folder" -}}/etc/game-gateway{{- end -}}

{{/* The whole configuration as JSON: `config`, and the keys that the chart derives. */}}
{{- define "game-gateway.configuration" -}}
{{- $folder := include "game-gateway.folder" . -}}
{{- $ports := .Values.containerPorts -}}
{{- $defaults := dict
  "listen" (dict "address" (include "game-gateway.everywhere" (list . $ports.game)))
  "admin" (dict "address" (include "game-gateway.everywhere" (list . $ports.admin))) -}}
{{- $known := dict
  "routes" (dict "source" .Values.routes.source)
  "session" (dict "token_keys_file" (printf "%s/token-keys/token-keys" $folder)) -}}
{{- if .Values.peer.enabled -}}
{{- $peers := printf "%s:%d" (include "game-gateway.host" (list . "-peers")) (int $ports.peer) -}}
{{- $_ := set $defaults "peer" (dict "address" (include "game-gateway.everywhere" (list . $ports.peer)) "gateways" (list $peers)) -}}
{{- end -}}
{{- with include "game-gateway.memoryBudget" . -}}
{{- $_ := set $defaults "limits" (dict "memory" (int64 .)) -}}
{{- end -}}
{{- if eq .Values.routes.source "redis" -}}
{{- $_ := set $known "redis" (include "game-gateway.redisKeys" . | fromJson) -}}
{{- else -}}
{{- $_ := set $known.routes "file" (printf "%s/routes/routes.json" $folder) -}}
{{- end -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $known "listen" (dict "tls" (include "game-gateway.tlsKeys" . | fromJson)) -}}
{{- end -}}
{{- if .Values.adminTls.enabled -}}
{{- $admin := dict "certificate" (printf "%s/admin-tls/tls.crt" $folder) "key" (printf "%s/admin-tls/tls.key" $folder) -}}
{{- if .Values.adminTls.clientCaSecret -}}
{{- $_ := set $admin "client_ca" (printf "%s/admin-client-ca/ca.crt" $folder) -}}
{{- end -}}
{{- $_ := set $known "admin" (dict "tls" $admin) -}}
{{- end -}}
{{- if .Values.backendTls.enabled -}}
{{- $links := dict "enabled" true "ca" (printf "%s/backend-tls/ca.crt" $folder) -}}
{{- if .Values.backendTls.clientCertificate -}}
{{- $_ := set $links "certificate" (printf "%s/backend-tls/tls.crt" $folder) -}}
{{- $_ := set $links "key" (printf "%s/backend-tls/tls.key" $folder) -}}
{{- end -}}
{{- $_ := set $known "backend" (dict "tls" $links) -}}
{{- end -}}
{{- if .Values.scaleDown.podDeletionCost.enabled -}}
{{- $_ := set $known "kubernetes" (dict "pod_deletion_cost" true) -}}
{{- end -}}
{{- mustMergeOverwrite $defaults (deepCopy .Values.config) $known | toJson -}}
{{- end -}}

{{/* Keys of [redis] that locate Redis; passwords are passed in the environment. */}}
{{- define "game-gateway.redisKeys" -}}
{{- $redis := .Values.externalRedis -}}
{{- if .Values.redis.enabled -}}
{{- dict "url" (printf "redis://%s:6379/0" (include "game-gateway.host" (list . "-redis"))) | toJson -}}
{{- else -}}
{{- $scheme := ternary "rediss" "redis" $redis.tls.enabled -}}
{{- $keys := dict -}}
{{- if $redis.sentinel.enabled -}}
{{- $scheme = printf "%s+sentinel" $scheme -}}
{{- $_ := set $keys "url" (printf "%s://%s/%s/%d" $scheme (join "," $redis.sentinel.hosts) $redis.sentinel.masterSet (int $redis.database)) -}}
{{- else -}}
{{- $_ := set $keys "url" (printf "%s://%s:%d/%d" $scheme (include "game-gateway.bracketed" $redis.host) (int $redis.port) (int $redis.database)) -}}
{{- end -}}
{{- with $redis.username }}{{ $_ := set $keys "username" . }}{{ end -}}
{{- if $redis.tls.enabled -}}
{{- $_ := set $keys "ca" (printf "%s/redis-tls/%s" (include "game-gateway.folder" .) $redis.tls.caFilename) -}}
{{- end -}}
{{- toJson $keys -}}
{{- end -}}
{{- end -}}

{{/* Keys of [listen.tls]. */}}
{{- define "game-gateway.tlsKeys" -}}
{{- $folder := include "game-gateway.folder" . -}}
{{- $certificates := list -}}
{{- $keys := list -}}
{{- range $number, $_ := concat (list "") (default list .Values.tls.extraSecrets) -}}
{{- $certificates = append $certificates (printf "%s/tls-%d/%s" $folder $number $.Values.tls.certFilename) -}}
{{- $keys = append $keys (printf "%s/tls-%d/%s" $folder $number $.Values.tls.keyFilename) -}}
{{- end -}}
{{- $tls := dict "certificate" $certificates "key" $keys "required" .Values.tls.required -}}
{{- if .Values.tls.clientCaSecret -}}
{{- $_ := set $tls "client_ca" (printf "%s/tls-client-ca/ca.crt" $folder) -}}
{{- end -}}
{{- toJson $tls -}}
{{- end -}}

{{/* A table of TOML with its tables below it: (list "listen" {…}); the whole document has the name "". */}}
{{- define "game-gateway.toml" -}}
{{- $name := index . 0 -}}
{{- $plain := dict -}}
{{- $tables := dict -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "map" $value }}{{ $_ := set $tables $key $value }}
{{- else if not (kindIs "invalid" $value) }}{{ $_ := set $plain $key $value }}{{ end -}}
{{- end -}}
{{- if $plain }}
{{- if $name }}
[{{ $name }}]
{{- end }}
{{- range $key, $value := $plain }}
{{ $key }} = {{ include "game-gateway.tomlValue" $value }}
{{- end }}
{{ end -}}
{{- range $key, $table := $tables }}
{{- include "game-gateway.toml" (list (ternary (printf "%s.%s" $name $key) $key (ne $name "")) $table) }}
{{- end -}}
{{- end -}}

{{/* A value of TOML. Helm parses numbers of YAML as floats; most of the program's are integers. */}}
{{- define "game-gateway.tomlValue" -}}
{{- if kindIs "slice" . -}}
[{{ range $at, $entry := . }}{{ if $at }}, {{ end }}{{ include "game-gateway.tomlValue" $entry }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{- range $at, $key := keys . | sortAlpha }}{{ if $at }}, {{ end }}{{ $key }} = {{ include "game-gateway.tomlValue" (get $ $key) }}{{ end -}} }
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end -}}

{{/* The file that `game-gateway serve` reads. */}}
{{- define "game-gateway.configFile" -}}
{{- include "game-gateway.toml" (list "" (include "game-gateway.configuration" . | fromJson)) | trim -}}
{{- end -}}

{{/* The routing data as JSON: `routes`, and the echo backend's rule. */}}
{{- define "game-gateway.routes" -}}
{{- $rules := deepCopy (default dict .Values.routes.rules) -}}
{{- if and .Values.echo.enabled (not (hasKey $rules "echo")) -}}
{{- $endpoint := printf "%s:7100" (include "game-gateway.host" (list . "-echo")) -}}
{{- $_ := set $rules "echo" (dict "strategy" "round_robin" "endpoints" (list $endpoint)) -}}
{{- end -}}
{{- dict "rules" $rules "realms" (default dict .Values.routes.realms) | toPrettyJson -}}
{{- end -}}

{{/* "true" if a Job writes the routes to Redis. */}}
{{- define "game-gateway.writesRoutes" -}}
{{- $any := or .Values.routes.rules .Values.routes.realms .Values.echo.enabled -}}
{{- if and (eq .Values.routes.source "redis") .Values.routes.write $any }}true{{ end -}}
{{- end -}}
