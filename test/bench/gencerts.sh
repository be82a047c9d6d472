#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make a P-256 CA and P-256 leafs with SPIFFE URI and DNS names in directory $1.
set -euo pipefail
d=$1
mkdir -p "$d"
cd "$d"
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/O=cluster.local/CN=bench-ca" -out ca.pem
for who in client server; do
    openssl ecparam -name prime256v1 -genkey -noout -out $who.key
    openssl req -new -key $who.key -subj "/O=cluster.local" -out $who.csr
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 3650 -out $who.crt \
        -extfile <(printf 'subjectAltName=URI:spiffe://cluster.local/ns/default/sa/%s,DNS:%s.local\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:false\n' $who $who)
    cat $who.crt $who.key > $who.pem
done
chmod 644 ./*
