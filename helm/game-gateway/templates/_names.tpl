{{/* A name cut to a length, by a hash still another one than names alike up to there: (list "name" 43). */}}
{{- define "game-gateway.cut" -}}
{{- $name := index . 0 -}}
{{- $length := index . 1 | int -}}
{{- if gt (len $name) $length -}}
{{- printf "%s-%s" (trunc (sub $length 9 | int) $name | trimAll "-_.") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- trimSuffix "-" $name -}}
{{- end -}}
{{- end -}}

{{/* The chart's name in labels. */}}
{{- define "game-gateway.name" -}}
{{- include "game-gateway.cut" (list (default .Chart.Name .Values.nameOverride) 50) -}}
{{- end -}}

{{/* Prefix of all names, with room for the longest suffix: a label of DNS, as Services need it. Releases may
     have dots in their names and begin with a digit; what is changed gets a hash, so that a.b and a-b differ. */}}
{{- define "game-gateway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = default $full .Values.fullnameOverride -}}
{{- $label := replace "." "-" $full -}}
{{- if regexMatch "^[0-9]" $label }}{{ $label = printf "g%s" $label }}{{ end -}}
{{- if ne $label $full -}}
{{- printf "%s-%s" (trunc 34 $label | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- else -}}
{{- include "game-gateway.cut" (list $full 43) -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Selector of the gateways. The two labels never change, because a Deployment's selector is immutable. */}}
{{- define "game-gateway.selector" -}}
app.kubernetes.io/name: {{ include "game-gateway.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of all objects. */}}
{{- define "game-gateway.sharedLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: game-gateway
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." | quote }}
{{- end -}}

{{/* Labels of the gateways' objects. Those of commonLabels cannot replace the chart's own. */}}
{{- define "game-gateway.labels" -}}
{{- $own := merge (include "game-gateway.selector" . | fromYaml) (include "game-gateway.sharedLabels" . | fromYaml) -}}
{{- $_ := set $own "app.kubernetes.io/component" "gateway" -}}
{{- merge $own (default dict .Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* Selector of the pods of another part, given as (list . "echo"). The selector of the gateways must
     not match them. */}}
{{- define "game-gateway.partSelector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ printf "%s-%s" (include "game-gateway.name" $root) (index . 1) | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
{{- end -}}

{{- define "game-gateway.partLabels" -}}
{{- $root := index . 0 -}}
{{- $own := merge (include "game-gateway.partSelector" . | fromYaml) (include "game-gateway.sharedLabels" $root | fromYaml) -}}
{{- $_ := set $own "app.kubernetes.io/component" (index . 1) -}}
{{- merge $own (default dict $root.Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* An object's metadata. Keys: root; ending (of the name) or the whole name; part, unless it is the
     gateways'; its component, if it is another than the part; its own labels, which override the common ones
     but not the chart's; its own annotations, which override the common ones; namespace. */}}
{{- define "game-gateway.metadata" -}}
{{- $root := .root -}}
{{- $labels := include "game-gateway.labels" $root -}}
{{- if .part }}{{ $labels = include "game-gateway.partLabels" (list $root .part) }}{{ end -}}
{{- $labels = fromYaml $labels -}}
{{- with .component }}{{ $_ := set $labels "app.kubernetes.io/component" . }}{{ end -}}
{{- $own := omit (default dict .labels) "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
name: {{ default (printf "%s%s" (include "game-gateway.fullname" $root) (default "" .ending)) .name | quote }}
namespace: {{ default (include "game-gateway.namespace" $root) .namespace | quote }}
labels:
  {{- merge (dict) $own $labels | toYaml | nindent 2 }}
{{- with merge (dict) (default dict .annotations) (default dict $root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The global values: this chart's parent decides what is there, and of which kind. */}}
{{- define "game-gateway.global" -}}
{{- $global := ternary .Values.global dict (kindIs "map" .Values.global) -}}
{{- $registry := ternary $global.imageRegistry "" (kindIs "string" $global.imageRegistry) -}}
{{- $secrets := list -}}
{{- range ternary $global.imagePullSecrets (list $global.imagePullSecrets) (kindIs "slice" $global.imagePullSecrets) -}}
{{- $name := ternary (get (ternary . dict (kindIs "map" .)) "name") . (kindIs "map" .) -}}
{{- if and (kindIs "string" $name) $name }}{{ $secrets = append $secrets $name }}{{ end -}}
{{- end -}}
{{- dict "imageRegistry" $registry "imagePullSecrets" $secrets | toJson -}}
{{- end -}}

{{/* An image's reference: (list . .Values.image). Without a tag it is the chart's appVersion. */}}
{{- define "game-gateway.imageOf" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $global := include "game-gateway.global" $root | fromJson -}}
{{- $registry := default $image.registry $global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag | toString) -}}
{{- end -}}
{{- end -}}

{{/* A container's image and when it is pulled: (list . .Values.image). */}}
{{- define "game-gateway.imageFields" -}}
image: {{ include "game-gateway.imageOf" . | quote }}
{{- with (index . 1).pullPolicy }}
imagePullPolicy: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "game-gateway.serviceAccountName" -}}
{{- $made := ternary (include "game-gateway.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $made .Values.serviceAccount.name -}}
{{- end -}}

{{/* A Service's name in DNS: (list . "-echo"). */}}
{{- define "game-gateway.host" -}}
{{- $root := index . 0 -}}
{{- printf "%s%s.%s.svc.%s" (include "game-gateway.fullname" $root) (index . 1) (include "game-gateway.namespace" $root) $root.Values.clusterDomain -}}
{{- end -}}

{{/* The smallest number of gateways, or "" where there is one on each node. */}}
{{- define "game-gateway.replicas" -}}
{{- if eq .Values.kind "DaemonSet" -}}
{{- else if .Values.autoscaling.enabled -}}
{{- .Values.autoscaling.minReplicas -}}
{{- else if eq (toString .Values.replicaCount) "" -}}
2
{{- else -}}
{{- .Values.replicaCount -}}
{{- end -}}
{{- end -}}

{{/* "true" if the players' Service asks for addresses of IPv6. */}}
{{- define "game-gateway.ip6" -}}
{{- $dual := has .Values.service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack") -}}
{{- if or $dual (has "IPv6" (default list .Values.service.ipFamilies)) }}true{{ end -}}
{{- end -}}

{{/* The address that stands for every address of a pod, of IPv4 as well: (list . 7000). */}}
{{- define "game-gateway.everywhere" -}}
{{- printf "%s:%d" (ternary "[::]" "0.0.0.0" (eq (include "game-gateway.ip6" (index . 0)) "true")) (index . 1 | int) -}}
{{- end -}}

{{/* A host in front of a port: an address of IPv6 gets its brackets. */}}
{{- define "game-gateway.bracketed" -}}
{{- if regexMatch "^[^[]*:[^:]*:" . }}{{ printf "[%s]" . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
