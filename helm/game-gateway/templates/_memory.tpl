{{/* A quantity of Kubernetes or a size of the program in bytes: 64Mi, 0.5Gi, 128M, 1e9, 64MiB, 1024. */}}
{{- define "game-gateway.bytes" -}}
{{- $text := index . 1 | toString | trimSuffix "B" -}}
{{- if not (regexMatch "^[0-9.]+([eE][+]?[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$" $text) -}}
{{- fail (printf "%s: invalid size %q, expected e.g. %s" (index . 0) $text (index . 2)) -}}
{{- end -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $unit := regexFind "[KMGTki]*$" $text -}}
{{- mulf (trimSuffix $unit $text | float64) (ternary (get $units $unit) 1 (ne $unit "")) | floor | int64 -}}
{{- end -}}

{{/* The container's limit of memory in bytes, or nothing. */}}
{{- define "game-gateway.memoryLimit" -}}
{{- with dig "limits" "memory" "" (default dict .Values.resources) -}}
{{- include "game-gateway.bytes" (list "resources.limits.memory" . "512Mi") -}}
{{- end -}}
{{- end -}}

{{/* The budget of queues and buffers in bytes where the program's least default, 64 MiB, is more than a quarter of
     the container's limit: that quarter. Nothing where it is not, and where the budget is given. */}}
{{- define "game-gateway.memoryBudget" -}}
{{- $limit := include "game-gateway.memoryLimit" . -}}
{{- if and $limit (not (dig "limits" "memory" "" .Values.config)) -}}
{{- if lt (int64 $limit) 268435456 }}{{ div (int64 $limit) 4 }}{{ end -}}
{{- end -}}
{{- end -}}
