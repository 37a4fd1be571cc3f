"""What a workload does that is given the token of a service account: finds its issuer's documents by the token alone, and
verifies the token with the keys that it finds there. ECDSA over P-256, as it is defined."""

import base64
import hashlib
import json
import ssl
import sys
import urllib.request

OWN = "/var/run/secrets/kubernetes.io/serviceaccount/"
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def plus(one, two):
    if one is None or two is None:
        return one or two
    if one[0] == two[0] and (one[1] + two[1]) % P == 0:
        return None
    if one == two:
        slope = (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, P)
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, P)
    x = (slope**2 - one[0] - two[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def times(number, point):
    total = None
    while number:
        if number & 1:
            total = plus(total, point)
        point = plus(point, point)
        number >>= 1
    return total


def bytes_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(data):
    return int.from_bytes(data, "big")


def verified(token, keys):
    head, claims, signature = token.split(".")
    kid = json.loads(bytes_of(head))["kid"]
    [key] = [key for key in keys if key["kid"] == kid]
    assert (key["kty"], key["crv"], key["use"]) == ("EC", "P-256", "sig"), key
    raw = bytes_of(signature)
    r, s = number(raw[:32]), number(raw[32:])
    assert len(raw) == 64 and 0 < r < N and 0 < s < N
    digest = number(hashlib.sha256(f"{head}.{claims}".encode()).digest())
    inverse = pow(s, -1, N)
    public = number(bytes_of(key["x"])), number(bytes_of(key["y"]))
    point = plus(times(digest * inverse % N, G), times(r * inverse % N, public))
    return point is not None and point[0] % N == r


own = open(OWN + "token").read()
trust = ssl.create_default_context(cafile=OWN + "ca.crt")


def document(url):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + own})
    with urllib.request.urlopen(request, context=trust) as answer:
        return json.load(answer)


token = open(sys.argv[1]).read()
claims = json.loads(bytes_of(token.split(".")[1]))
provider = document(claims["iss"] + "/.well-known/openid-configuration")
assert provider["issuer"] == claims["iss"], provider
assert provider["id_token_signing_alg_values_supported"] == ["ES256"], provider
keys = document(provider["jwks_uri"])["keys"]
forged = {**claims, "sub": "system:serviceaccount:kube-system:default"}
forged = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
head, _, signature = token.split(".")
print(verified(token, keys), verified(f"{head}.{forged}.{signature}", keys), claims["aud"], claims["sub"])
