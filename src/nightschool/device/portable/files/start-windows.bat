@echo off
rem Runs Nightschool from this folder on Windows 10 or 11 (64 bit).
rem Written and checked on Linux, NOT TESTED on Windows.
rem
rem At first start it fetches Python (with the hash below) and the packages (with the versions that
rem Linux has in app\requirements.txt) onto the stick; after that it needs no network.

setlocal EnableExtensions DisableDelayedExpansion
set "VERSION=3.11.9"
set "RELEASE=20240814"
set "HASH=8ac54a8d711ef0d49b62a2c3521c2d0403f1b221dc9d84c5f85fe48903e82523"

set "HERE=%~dp0"
set "RUNTIME=%HERE%runtime\windows-amd64"
set "PYTHON=%RUNTIME%\python\python.exe"
set "PYTHONHOME="
set "PYTHONPATH="
set "VIRTUAL_ENV="
set "NIGHTSCHOOL_HOME=%HERE%data"

if not exist "%RUNTIME%\complete" call :fetch
if not exist "%RUNTIME%\complete" (
    echo nightschool: It could not be fetched. Check the network and the room on the stick, then start again. 1>&2
    exit /b 1
)
"%PYTHON%" -I -B -X utf8 -m nightschool portable run -- %*
exit /b %ERRORLEVEL%

:fetch
echo nightschool: Fetching Python and the packages for Windows onto the stick, once (about 1 GB). 1>&2
if not exist "%RUNTIME%" mkdir "%RUNTIME%"
set "ARCHIVE=%RUNTIME%\python.tar.gz"
curl.exe --fail --location --proto =https --output "%ARCHIVE%" "https://github.com/astral-sh/python-build-standalone/releases/download/%RELEASE%/cpython-%VERSION%%%2B%RELEASE%-x86_64-pc-windows-msvc-install_only_stripped.tar.gz"
if errorlevel 1 exit /b 1
certutil -hashfile "%ARCHIVE%" SHA256 | findstr /i /c:"%HASH%" >nul
if errorlevel 1 (
    echo nightschool: What was fetched is not the file that was asked for: its SHA-256 differs. 1>&2
    del "%ARCHIVE%"
    exit /b 1
)
tar.exe -xzf "%ARCHIVE%" -C "%RUNTIME%"
if errorlevel 1 exit /b 1
del "%ARCHIVE%"
"%PYTHON%" -I -m pip install --no-cache-dir --prefer-binary --disable-pip-version-check --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cpu -r "%HERE%app\requirements.txt"
if errorlevel 1 exit /b 1
>"%RUNTIME%\python\Lib\site-packages\nightschool.pth" echo ../../../../../app
>"%RUNTIME%\complete" echo complete
exit /b 0
