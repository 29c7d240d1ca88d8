"""Parts of invented names and addresses, zh: made of the lists of Faker 40.63.0, zh_CN (see LICENSE beside this file)."""

FIRST = (
    "伟|强|磊|洋|勇|军|杰|涛|超|明|刚|平|辉|鹏|华|飞|鑫|波|斌|宇|浩|凯|健|俊|帆|帅|旭|宁|龙|林|欢|佳|阳|建华|亮|成|建|峰|建国|建军|晨|瑞|志强|兵|雷|东|博|彬|"
    "坤|想|岩|杨|文|利|楠|红霞|建平|芳|娜|敏|静|秀英|丽|艳|娟|霞|秀兰|燕|玲|桂英|丹|萍|红|玉兰|桂兰|英|梅|莉|秀珍|婷|玉梅|玉珍|凤英|晶|玉英|颖|雪|慧|红梅|倩|琴|兰"
    "英|畅|云|洁|柳|淑珍|春梅|海燕|冬梅|秀荣|桂珍|莹|秀云|桂荣|秀梅|丽娟|婷婷|玉华|琳|雪梅|淑兰|丽丽|玉|秀芳|欣|淑英|桂芳|丽华|丹丹|桂香|淑华|荣|秀华|桂芝|小红|金凤|瑜|"
    "桂花|璐|凤兰"
)
LAST = (
    "王|李|张|刘|陈|杨|黄|吴|赵|周|徐|孙|马|朱|胡|林|郭|何|高|罗|郑|梁|谢|宋|唐|许|邓|冯|韩|曹|曾|彭|萧|蔡|潘|田|董|袁|于|余|叶|蒋|杜|苏|魏|程|吕|丁|沈|任|"
    "姚|卢|傅|钟|姜|崔|谭|廖|范|汪|陆|金|石|戴|贾|韦|夏|邱|方|侯|邹|熊|孟|秦|白|江|阎|薛|尹|段|雷|黎|史|龙|陶|贺|顾|毛|郝|龚|邵|万|钱|严|赖|覃|洪|武|莫|孔|"
    "汤|向|常|温|康|施|文|牛|樊|葛|邢|安|齐|易|乔|伍|庞|颜|倪|庄|聂|章|鲁|岳|翟|殷|詹|申|欧|耿|关|兰|焦|俞|左|柳|甘|祝|包|宁|尚|符|舒|阮|柯|纪|梅|童|凌|毕|"
    "单|季|裴|霍|涂|成|苗|谷|盛|曲|翁|冉|骆|蓝|路|游|辛|靳|欧阳|管|柴|蒙|鲍|华|喻|祁|蒲|房|滕|屈|饶|解|牟|艾|尤|阳|时|穆|农|司|卓|古|吉|缪|简|车|项|连|芦|麦"
    "|褚|娄|窦|戚|岑|景|党|宫|费|卜|冷|晏|席|卫|米|柏|宗|瞿|桂|全|佟|应|臧|闵|苟|邬|边|卞|姬|师|和|仇|栾|隋|商|刁|沙|荣|巫|寇|桑|郎|甄|丛|仲|虞|敖|巩|明|佘"
    "|池|查|麻|苑|迟|邝|官|封|谈|匡|鞠|惠|荆|乐|冀|郁|胥|南|班|储|原|栗|燕|楚|鄢|劳|谌|奚|皮|粟|冼|蔺|楼|盘|满|闻|位|厉|伊|仝|区|郜|海|阚|花|权|强|帅|屠|豆"
    "|朴|盖|练|廉|禹|井|祖|漆|巴|丰|支|卿|国|狄|平|计|索|宣|晋|相|初|门|云|容|敬|来|扈|晁|芮|都|普|阙|浦|戈|伏|鹿|薄|邸|雍|辜|羊|阿|乌|母|裘|亓|修|邰|赫|杭"
    "|况|那|宿|鲜|印|逯|隆|茹|诸|战|慕|危|玉|银|亢|嵇|公|哈|湛|宾|戎|勾|茅|利|呼|居|揭|干|但|尉|冶|斯|元|束|檀|衣|信|展|阴|昝|智|幸|奉|植|衡|富|尧|闭|由"
)
MAIL_FIRST = (
    "wei|qiang|lei|yang|yong|jun|jie|tao|chao|ming|gang|ping|hui|peng|hua|fei|xin|bo|bin|yu|hao|kai|jian|"
    "jun|fan|shuai|xu|zhu|long|lin|huan|jia|yang|jianhua|liang|cheng|jian|feng|jianguo|jianjun|chen|rui|z"
    "hiqiang|bing|lei|dong|bo|bin|kun|xiang|yan|yang|wen|li|nan|hongxia|jianping|fang|nuo|min|jing|xiuyin"
    "g|li|yan|juan|xia|xiulan|yan|ling|guiying|dan|ping|hong|yulan|guilan|ying|mei|li|xiuzhen|ting|yumei|"
    "yuzhen|fengying|jing|yuying|ying|xue|hui|hongmei|qian|qin|lanying|chang|yun|ji|liu|shuzhen|chunmei|h"
    "aiyan|dongmei|xiurong|guizhen|ying|xiuyun|guirong|xiumei|lijuan|tingting|yuhua|lin|xuemei|shulan|lil"
    "i|yu|xiufang|xin|shuying|guifang|lihua|dandan|guixiang|shuhua|rong|xiuhua|guizhi|xiaohong|jinfeng|yu"
    "|guihua|lu|fenglan"
)
MAIL_LAST = (
    "wang|li|zhang|liu|chen|yang|huang|wu|zhao|zhou|xu|sun|ma|zhu|hu|lin|guo|he|gao|luo|zheng|liang|xie|s"
    "ong|tang|xu|deng|feng|han|cao|ceng|peng|xiao|cai|pan|tian|dong|yuan|yu|yu|xie|jiang|du|su|wei|cheng|"
    "lu|ding|chen|ren|yao|lu|fu|zhong|jiang|cui|tan|liao|fan|wang|lu|jin|shi|dai|jia|wei|xia|qiu|fang|hou"
    "|zou|xiong|meng|qin|bai|jiang|yan|xie|yin|duan|lei|li|shi|long|tao|he|gu|mao|hao|gong|shao|mo|qian|y"
    "an|lai|tan|hong|wu|mo|kong|tang|xiang|chang|wen|kang|shi|wen|niu|fan|ge|xing|an|qi|yi|qiao|wu|pang|y"
    "an|ni|zhuang|nie|zhang|lu|yue|di|yin|zhan|shen|ou|geng|guan|lan|jiao|yu|zuo|liu|gan|zhu|bao|zhu|shan"
    "g|fu|shu|ruan|ke|ji|mei|tong|ling|bi|dan|ji|pei|huo|tu|cheng|miao|gu|sheng|qu|weng|ran|luo|lan|lu|yo"
    "u|xin|jin|ouyang|guan|chai|meng|bao|hua|yu|qi|pu|fang|teng|qu|rao|jie|mou|ai|you|yang|shi|mu|nong|si"
    "|zhuo|gu|ji|mou|jian|che|xiang|lian|lu|mai|chu|lou|dou|qi|cen|jing|dang|gong|fei|bu|leng|yan|xi|wei|"
    "mi|bo|zong|qu|gui|quan|tong|ying|zang|min|gou|wu|bian|bian|ji|shi|he|chou|luan|sui|shang|diao|sha|ro"
    "ng|wu|kou|sang|lang|zhen|cong|zhong|yu|ao|gong|ming|she|chi|cha|ma|yuan|chi|kuang|guan|feng|tan|kuan"
    "g|ju|hui|jing|le|ji|yu|xu|nan|ban|chu|yuan|li|yan|chu|yan|lao|chen|xi|pi|su|xian|lin|lou|pan|man|wen"
    "|wei|li|yi|tong|qu|gao|hai|kan|hua|quan|qiang|shuai|tu|dou|po|gai|lian|lian|yu|jing|zu|qi|ba|feng|zh"
    "i|qing|guo|di|ping|ji|suo|xuan|jin|xiang|chu|men|yun|rong|jing|lai|hu|chao|rui|du|pu|que|pu|ge|fu|lu"
    "|bo|di|yong|gu|yang|a|wu|mu|qiu|qi|xiu|tai|he|hang|kuang|na|su|xian|yin|lu|long|ru|zhu|zhan|mu|wei|y"
    "u|yin|kang|ji|gong|ha|zhan|bin|rong|gou|mao|li|hu|ju|jie|gan|dan|wei|ye|si|yuan|shu|tan|yi|xin|zhan|"
    "yin|zan|zhi|xing|feng|zhi|heng|fu|yao|bi|you"
)
CITIES = (
    "北京市|上海市|天津市|重庆市|哈尔滨市|长春市|沈阳市|呼和浩特市|石家庄市|乌鲁木齐市|兰州市|西宁市|西安市|银川市|郑州市|济南市|太原市|合肥市|武汉市|长沙市|南京市|成都市|贵阳市|昆明"
    "市|南宁市|拉萨市|杭州市|南昌市|广州市|福州市|台北市|海口市|香港市|澳门市|通辽市|兴安盟市|辛集市|邯郸市|辽阳市|兴城市|北镇市|阜新市|齐齐哈尔市|淮安市|张家港市|海门市|六安市|巢湖"
    "市|马鞍山市|永安市|宁德市|嘉禾市|荆门市|潜江市|大冶市|宜都市|佛山市|深圳市|潮州市|惠州市|汕尾市|东莞市|梧州市|柳州市|合山市|六盘水市|关岭市"
)
STREETS = (
    "北京街|上海街|天津街|重庆街|哈尔滨街|长春街|沈阳街|呼和浩特街|石家庄街|乌鲁木齐街|兰州街|西宁街|西安街|银川街|郑州街|济南街|太原街|合肥街|武汉街|长沙街|南京街|成都街|贵阳街|昆明"
    "街|南宁街|拉萨街|杭州街|南昌街|广州街|福州街|台北街|海口街|香港街|澳门街|通辽街|兴安盟街|辛集街|邯郸街|辽阳街|兴城街|北镇街|阜新街|齐齐哈尔街|淮安街|张家港街|海门街|六安街|巢湖"
    "街|马鞍山街|永安街|宁德街|嘉禾街|荆门街|潜江街|大冶街|宜都街|佛山街|深圳街|潮州街|惠州街|汕尾街|东莞街|梧州街|柳州街|合山街|六盘水街|关岭街|北京路|上海路|天津路|重庆路|哈尔滨路"
    "|长春路|沈阳路|呼和浩特路|石家庄路|乌鲁木齐路|兰州路|西宁路|西安路|银川路|郑州路|济南路|太原路|合肥路|武汉路|长沙路|南京路|成都路|贵阳路|昆明路|南宁路|拉萨路|杭州路|南昌路|广州"
    "路|福州路|台北路|海口路|香港路|澳门路|通辽路|兴安盟路|辛集路|邯郸路|辽阳路|兴城路|北镇路|阜新路|齐齐哈尔路|淮安路|张家港路|海门路|六安路|巢湖路|马鞍山路|永安路|宁德路|嘉禾路|荆"
    "门路|潜江路|大冶路|宜都路|佛山路|深圳路|潮州路|惠州路|汕尾路|东莞路|梧州路|柳州路|合山路|六盘水路|关岭路|王街|李路|张街|刘路|陈街|杨路|黄街|吴路|赵街|周路|徐街|孙路|马街|朱"
    "路|胡街|林路|郭街|何路|高街|罗路|郑街|梁路|谢街|宋路|唐街|许路|邓街|冯路|韩街|曹路|曾街|彭路|萧街|蔡路|潘街|田路|董街|袁路|于街|余路|叶街|蒋路|杜街|苏路|魏街|程路|吕街"
    "|丁路|沈街|任路|姚街|卢路|傅街|钟路|姜街|崔路|谭街|廖路|范街|汪路|陆街|金路|石街|戴路|贾街|韦路|夏街|邱路|方街|侯路|邹街|熊路|孟街|秦路|白街|江路|阎街|薛路|尹街|段路|"
    "雷街|黎路|史街|龙路|陶街|贺路|顾街|毛路|郝街|龚路|邵街|万路|钱街|严路|赖街|覃路|洪街|武路|莫街|孔路|汤街|向路|常街|温路|康街|施路|文街|牛路|樊街|葛路|邢街|安路|齐街|易"
    "路|乔街|伍路|庞街|颜路|倪街|庄路|聂街|章路|鲁街|岳路|翟街|殷路|詹街|申路|欧街|耿路|关街|兰路|焦街|俞路|左街|柳路|甘街|祝路|包街|宁路|尚街|符路|舒街|阮路|柯街|纪路|梅街"
    "|童路|凌街|毕路|单街|季路|裴街|霍路|涂街|成路|苗街|谷路|盛街|曲路|翁街|冉路|骆街|蓝路|路街|游路|辛街|靳路|欧阳街|管路|柴街|蒙路|鲍街|华路|喻街|祁路|蒲街|房路|滕街|屈路"
    "|饶街|解路|牟街|艾路|尤街|阳路|时街|穆路|农街|司路|卓街|古路|吉街|缪路|简街|车路|项街|连路|芦街|麦路"
)
COMPANY_0 = (
    "超艺|和泰|九方|鑫博腾飞|戴硕电子|济南亿次元|海创|创联世纪|凌云|泰麒麟|彩虹|兰金电子|晖来计算机|天益|恒聪百汇|菊风公司|惠派国际公司|创汇|思优|时空盒数字|易动力|飞海科技|华泰通安|"
    "盟新|商软冠联|图龙信息|华远软件|创亿|时刻|开发区世创|明腾|良诺|天开|毕博诚|快讯|凌颖信息|黄石金承|恩悌|雨林木风计算机|双敏电子|维旺明|网新恒天|数字100|飞利信|立信电子|联通时科"
    "|中建创业|新格林耐特|新宇龙信息|浙大万朋|MBP软件|昂歌信息|万迅电脑|方正科技|联软|七喜|南康|银嘉|巨奥|佳禾|国讯|信诚致远|浦华众城|迪摩|太极|群英|合联电子|同兴万点|襄樊地球村|"
    "精芯|艾提科信|昊嘉|鸿睿思博|四通|富罳|诺依曼软件|东方峻景|华成育卓|趋势|维涛|通际名联"
)
COMPANY_1 = "科技有限公司|网络有限公司|信息有限公司|传媒有限公司"
