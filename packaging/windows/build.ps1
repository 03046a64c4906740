# Builds the Windows installer. Untested; see README.md. Any step that fails ends the build.
param(
    [Parameter(Mandatory = $true)] [string] $Wheel,
    [string] $Python = "python",
    [string] $Iscc = "${env:ProgramFiles(x86)}\Inno Setup 6\ISCC.exe"
)
Set-StrictMode -Version Latest
$ErrorActionPreference = "Stop"

$clone = (Resolve-Path (Join-Path $PSScriptRoot "..\..")).Path
$work = Join-Path $clone "build\windows"
$app = Join-Path $work "app"
$cpu = "https://download.pytorch.org/whl/cpu"
$llama = "https://abetlen.github.io/llama-cpp-python/whl/cpu"

function Invoke-Checked([string] $Program, [string[]] $Arguments) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { throw "$Program ended with code $LASTEXITCODE." }
}

if (-not (Test-Path $Wheel)) { throw "There is no wheel $Wheel." }
if (-not (Test-Path $Iscc)) { throw "Inno Setup 6 is missing ($Iscc)." }
if (Test-Path $work) { Remove-Item -Recurse -Force $work }
New-Item -ItemType Directory -Force $app | Out-Null

# The interpreter: the embeddable package of the very version that pip resolves for.
$version = (& $Python -c "import platform; print(platform.python_version())").Trim()
$short = (& $Python -c "import sys; print('%d%d' % sys.version_info[:2])").Trim()
$archive = Join-Path $work "python.zip"
Invoke-WebRequest "https://www.python.org/ftp/python/$version/python-$version-embed-amd64.zip" -OutFile $archive
Expand-Archive $archive (Join-Path $app "runtime")

# Its path is this file and nothing else: no PYTHONPATH, no packages of the user's.
$paths = @("python$short.zip", ".", "..\site", "import site")
Set-Content -Encoding ascii (Join-Path $app "runtime\python$short._pth") $paths

# Nightschool and all it needs, as finished wheels.
Invoke-Checked $Python @(
    "-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:",
    "--extra-index-url", $cpu, "--extra-index-url", $llama,
    "-c", (Join-Path $clone "constraints.txt"), "--target", (Join-Path $app "site"), $Wheel
)
Copy-Item (Join-Path $PSScriptRoot "nightschool.cmd") $app
Copy-Item (Join-Path $clone "LICENSE") $app

# It runs before it is packed.
Invoke-Checked (Join-Path $app "runtime\python.exe") @("-m", "nightschool", "--version")
Invoke-Checked (Join-Path $app "runtime\python.exe") @("-c", "import faiss, llama_cpp, peft, torch")

$made = (& (Join-Path $app "runtime\python.exe") -c "import nightschool; print(nightschool.__version__)").Trim()
Invoke-Checked $Iscc @("/DVersion=$made", "/DApp=$app", "/O$(Join-Path $clone 'dist')", (Join-Path $PSScriptRoot "nightschool.iss"))
