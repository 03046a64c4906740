#!/bin/sh
# Builds the macOS package. Untested; see README.md. Any step that fails ends the build.
set -eu

wheel=${1:?which wheel: build.sh dist/nightschool-VERSION-py3-none-any.whl}
here=$(cd "$(dirname "$0")" && pwd)
clone=$(cd "$here/../.." && pwd)
work=$clone/build/macos
app=$work/root/Applications/Nightschool.app
contents=$app/Contents
identity=${IDENTITY:--}
case $(uname -m) in
    arm64) machine=aarch64 ;;
    x86_64) machine=x86_64 ;;
    *) echo "There is no build for $(uname -m)." >&2; exit 1 ;;
esac
# Another release: its address and its own SHA-256, both from the releases of
# https://github.com/astral-sh/python-build-standalone.
python_url=${PYTHON_URL:?the address of cpython-3.11…-$machine-apple-darwin-install_only_stripped.tar.gz}
python_sha256=${PYTHON_SHA256:?its SHA-256}

rm -rf "$work"
mkdir -p "$contents/MacOS" "$contents/Resources" "$work/root/usr/local/bin"

curl --fail --location --silent --show-error --output "$work/python.tar.gz" "$python_url"
echo "$python_sha256  $work/python.tar.gz" | shasum -a 256 -c -
tar -xzf "$work/python.tar.gz" -C "$contents/Resources"
python=$contents/Resources/python/bin/python3

"$python" -m pip install --disable-pip-version-check --only-binary :all: \
    --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/metal \
    -c "$clone/constraints.txt" "$wheel"
version=$("$python" -I -c 'import nightschool; print(nightschool.__version__)')

sed "s/@VERSION@/$version/g" "$here/Info.plist" > "$contents/Info.plist"
cp "$here/nightschool" "$contents/MacOS/nightschool"
chmod 755 "$contents/MacOS/nightschool"
ln -s ../../../Applications/Nightschool.app/Contents/MacOS/nightschool \
    "$work/root/usr/local/bin/nightschool"

# It runs before it is packed.
"$contents/MacOS/nightschool" --version
"$python" -I -c 'import faiss, llama_cpp, peft, torch'

find "$contents/Resources" -type f \( -name '*.so' -o -name '*.dylib' \) -print0 |
    xargs -0 codesign --force --timestamp=none --sign "$identity"
codesign --force --timestamp=none --sign "$identity" "$contents/Resources/python/bin/python3.11"
codesign --force --timestamp=none --sign "$identity" "$app"
mkdir -p "$clone/dist"
pkgbuild --root "$work/root" --identifier org.nightschool.app --version "$version" \
    --install-location / "$clone/dist/nightschool.pkg"
