; The installer of one user's Nightschool (Inno Setup 6). Untested; see README.md.
; ISCC /DVersion=0.1.0 /DApp=folder nightschool.iss

#ifndef Version
  #error Say which version: /DVersion=
#endif
#ifndef App
  #error Say where the files are: /DApp=
#endif

[Setup]
AppId={{7C0A6E54-52C5-4B0D-9C3C-3A0F7E1B5D21}
AppName=Nightschool
AppVersion={#Version}
DefaultDirName={localappdata}\Programs\Nightschool
DefaultGroupName=Nightschool
PrivilegesRequired=lowest
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
MinVersion=10.0
LicenseFile={#App}\LICENSE
OutputBaseFilename=nightschool-setup
Compression=lzma2
SolidCompression=yes
ChangesEnvironment=yes
CloseApplications=yes

[Tasks]
Name: login; Description: "Start Nightschool with my login"; Flags: unchecked
Name: path; Description: "Let me type nightschool in a terminal (PATH)"

[Files]
Source: "{#App}\*"; DestDir: "{app}"; Flags: recursesubdirs ignoreversion

[Icons]
Name: "{group}\Nightschool"; Filename: "{app}\runtime\pythonw.exe"; Parameters: "-m nightschool open"
Name: "{group}\Nightschool tray"; Filename: "{app}\runtime\pythonw.exe"; Parameters: "-m nightschool tray"

[Registry]
Root: HKCU; Subkey: "Environment"; ValueType: expandsz; ValueName: "Path"; ValueData: "{olddata};{app}"; Tasks: path; Check: NotOnPath(ExpandConstant('{app}'))

[Run]
Filename: "{app}\runtime\python.exe"; Parameters: "-m nightschool service install"; Tasks: login; Flags: runhidden

[UninstallRun]
Filename: "{app}\runtime\python.exe"; Parameters: "-m nightschool service uninstall"; Flags: runhidden; RunOnceId: "service"
Filename: "{app}\runtime\python.exe"; Parameters: "-m nightschool stop"; Flags: runhidden; RunOnceId: "stop"

[UninstallDelete]
; Python writes compiled code beside the sources.
Type: filesandordirs; Name: "{app}\runtime"
Type: filesandordirs; Name: "{app}\site"

[Code]
function NotOnPath(Folder: string): Boolean;
var
  Known: string;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Known) then
    Known := '';
  Result := Pos(';' + Lowercase(Folder) + ';', ';' + Lowercase(Known) + ';') = 0;
end;

procedure CurUninstallStepChanged(Step: TUninstallStep);
var
  Known: string;
begin
  if (Step = usPostUninstall) and RegQueryStringValue(HKCU, 'Environment', 'Path', Known) then
  begin
    StringChangeEx(Known, ';' + ExpandConstant('{app}'), '', True);
    RegWriteExpandStringValue(HKCU, 'Environment', 'Path', Known);
  end;
end;
